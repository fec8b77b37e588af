//! The wall clock decides nothing.

use std::fs;

use lvs_tests::lab::{library, skipped};

use super::world::{World, lines, peer, until};

/// A wall clock of its own for a daemon, as `faketime` has it; other clocks stay as they are.
#[test]
fn a_wall_clock_that_is_set_back_changes_no_age_and_keeps_nobody_from_taking_over() {
    let (library, missing) = match library("faketime/libfaketimeMT.so.1") {
        Ok(library) => (library, Ok(())),
        Err(missing) => (String::new(), Err(missing)),
    };
    if skipped(missing) {
        return;
    }
    let Some(world) = World::new() else {
        return;
    };
    let clock = world.pair.folder().join("clock");
    fs::write(&clock, "+0\n").unwrap();
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &clock.to_string_lossy()),
        ("FAKETIME_NO_CACHE", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    // Its peer is not there.
    world.start_two_in(&variables, &lines());
    let two = world.two();
    let ready = |line: &str| two.try_lvsadm(line).unwrap().status.success();
    until("the backup is ready", || {
        ready("sync wait --takeover --timeout 0s")
    });
    let before = peer(two);

    fs::write(&clock, "-3600\n").unwrap();
    until("its clock is another one", || {
        peer(two).since + 3_000 < before.since
    });
    assert!(ready("sync wait --takeover --timeout 0s"));
    assert!(ready("healthy"));
    let after = peer(two);
    assert!(
        after.age >= before.age && after.age < before.age + 600,
        "{after:?}"
    );
    let shown = two.lvsadm("sync status").unwrap();
    assert!(!shown.contains("1h"), "{shown}");

    // Forwards: nobody is away for an hour.
    fs::write(&clock, "+3600\n").unwrap();
    until("its clock is another one", || {
        peer(two).since > before.since + 3_000
    });
    assert!(peer(two).age < 600);
}
