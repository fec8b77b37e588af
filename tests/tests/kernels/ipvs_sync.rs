//! Connection synchronization with the kernel's own IPVS, in a virtual machine: both directors in
//! network namespaces of one, a client that holds connections, and the virtual addresses that move
//! from one director to the other while it does.

use std::collections::BTreeMap;
use std::path::Path;

use lvs_tests::lab;
use lvs_tests::vm::{self, Kernel};

const MODULES: [&str; 10] = [
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_pe_sip",
    "veth",
    "bridge",
    "ipv6",
    // To mark packets with.
    "sch_ingress",
    "cls_u32",
    "act_skbedit",
    // For the TC program of devices that nothing was prepared for.
    "cls_bpf",
];

/// The network: `k` is the kernel's director, `o` ours. What both share moves by `active`.
///
/// Busybox' shell runs it; `at NAMESPACE COMMAND` enters without the mounts of `ip netns exec`.
const NETWORK: &str = include_str!("ipvs_sync/network.sh");

/// Runs a story in the machine; returns what it noted, by name.
fn run(story: &str) -> BTreeMap<String, String> {
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let tools = ["ipvsadm", "ip", "tc", "ethtool"].map(|name| lab::find(name).unwrap());
    let own = ["lvsd", "lvsadm", "flow"].map(|name| lab::built(name).unwrap());
    let programs: Vec<&Path> = tools.iter().chain(&own).map(AsRef::as_ref).collect();
    let said = kernel
        .run_with_modules(&MODULES, &programs, &format!("{NETWORK}\n{story}"))
        .unwrap_or_else(|error| panic!("{error:#}"));
    let notes = said.split("\n== ").skip(1).map(|note| {
        let (name, text) = note.split_once('\n').unwrap_or((note, ""));
        (name.trim().to_owned(), text.trim_end().to_owned())
    });
    println!("{said}");
    notes.collect()
}

/// A story whose braces hold sections of the page on migration, with the commands of these sections.
fn with_page(story: &str) -> String {
    let page = include_str!("../../../docs/migration.md");
    let mut story = story.to_owned();
    for section in page.split("\n## ").skip(1) {
        let (title, text) = section.split_once('\n').unwrap();
        let blocks = text.split("```console\n").skip(1);
        let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
        let commands: Vec<_> = lines
            .map(|line| match line.split_once("# ") {
                Some(("ipvs", command)) => format!("at k {command}"),
                Some(("lvs", command)) => format!("at o {command}"),
                _ => panic!("`{line}' is no command"),
            })
            .collect();
        let place = format!("{{{title}}}");
        assert_eq!(
            story.matches(&place).count(),
            1,
            "the story leaves out `{title}'"
        );
        story = story.replace(&place, &commands.join("\n"));
    }
    story
}

/// The lines of `-Lcn` without the time: protocol, state, client, virtual address, real server.
fn connections(listing: &str) -> Vec<String> {
    let mut lines: Vec<_> = listing
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [protocol, expire, state, client, service, server] = *words.as_slice() else {
                return None;
            };
            expire
                .contains(':')
                .then(|| format!("{protocol} {state} {client} {service} {server}"))
        })
        .collect();
    lines.sort();
    lines
}

/// Seconds left of each connection, in the order of [`connections`].
fn seconds(listing: &str) -> Vec<i64> {
    let mut lines: Vec<_> = listing
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [protocol, expire, state, client, service, server] = *words.as_slice() else {
                return None;
            };
            let (minutes, seconds) = expire.split_once(':')?;
            let left = minutes.parse::<i64>().ok()? * 60 + seconds.parse::<i64>().ok()?;
            Some((
                format!("{protocol} {state} {client} {service} {server}"),
                left,
            ))
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, left)| left).collect()
}

/// The server that answered each connection in a round.
fn answers(notes: &BTreeMap<String, String>, round: &str) -> BTreeMap<String, String> {
    let text = notes
        .get(round)
        .unwrap_or_else(|| panic!("no note of {round}"));
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(' ')?;
        let (target, answer) = rest.split_once(' ')?;
        Some((target.to_owned(), answer.to_owned()))
    });
    lines.collect()
}

fn is_kept(notes: &BTreeMap<String, String>, before: &str, after: &str) {
    let (before, after) = (answers(notes, before), answers(notes, after));
    assert_eq!(before.len(), 6, "{before:?}");
    assert!(
        before.values().all(|answer| answer.starts_with("server")),
        "{before:?}"
    );
    assert_eq!(
        before, after,
        "a connection was lost or went to another server"
    );
}

/// Both listings show the same connections with the same states, and times that differ by no more
/// than the story took.
fn are_in_step(notes: &BTreeMap<String, String>, number: usize, here: &str, there: &str) {
    let (here, there) = (&notes[here], &notes[there]);
    assert_eq!(connections(here), connections(there));
    // Six, and two templates.
    assert_eq!(connections(here).len(), number, "{here}");
    let differences = seconds(here).into_iter().zip(seconds(there));
    for (ours, theirs) in differences {
        assert!(
            (ours - theirs).abs() < 120,
            "{ours} and {theirs} seconds left:\n{here}\n{there}"
        );
    }
}

#[test]
fn connections_of_ipvs_continue_through_lvsd() {
    if lab::skipped(vm::check()) {
        return;
    }
    let notes = run(&with_page(include_str!("ipvs_sync/failover.sh")));
    assert_eq!(
        notes["daemons of k"],
        "master sync daemon (mcast=eth0, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
    );
    assert_eq!(
        notes["daemons of o"],
        "backup sync daemon (mcast=eth0, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
    );
    are_in_step(&notes, 8, "o as backup", "k as master");
    let old = connections(&notes["version 0 at o"]);
    assert!(
        old[0].starts_with("UDP UDP 10.1.0.3:7000 10.1.0.100:80 10.1.0."),
        "{old:?}"
    );
    // Version 0 carries no timeout: the timeout of the state applies.
    assert!(
        (240..=300).contains(&seconds(&notes["version 0 at o"])[0]),
        "{notes:?}"
    );
    // All but the seconds left.
    let call = |at: &str| notes[at].replacen(|c: char| c.is_ascii_digit(), "", 4);
    assert_eq!(call("call at o"), call("call at k"));
    assert!(
        call("call at o").ends_with("f81d4fae@10.1.0.3"),
        "{notes:?}"
    );
    let connection = connections(&notes["connection of the call at o"]);
    let [connection] = connection.as_slice() else {
        panic!("one connection: {connection:?}");
    };
    assert!(
        connection.contains(" 10.1.0.3:5060 10.1.0.100:5060 10.1.0.4:5060"),
        "{connection}"
    );
    is_kept(&notes, "first", "second");
}

#[test]
fn connections_of_lvsd_continue_through_ipvs() {
    if lab::skipped(vm::check()) {
        return;
    }
    let notes = run(include_str!("ipvs_sync/failback.sh"));
    are_in_step(&notes, 8, "k as backup", "o as master");
    let by_version_0 = |note: &str| connections(&notes[note]);
    let (theirs, ours) = (
        by_version_0("k by version 0"),
        by_version_0("o by version 0"),
    );
    let v4 = |lines: &[String]| -> Vec<String> {
        let v4 = lines.iter().filter(|line| !line.contains("fd00::"));
        v4.cloned().collect()
    };
    assert_eq!(v4(&theirs), v4(&ours));
    assert_eq!((v4(&ours).len(), ours.len(), theirs.len()), (12, 14, 13));
    is_kept(&notes, "first", "second");
}
