//! The role of a director: master or backup, kept until a command or a reboot changes it.

use lvs_api::role::Role;
use lvs_tests::lab::{Director, Pair};

fn role(director: &Director) -> String {
    director.lvsadm("role").unwrap()
}

#[test]
fn a_director_keeps_its_role_until_a_command_or_a_reboot() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    one.start().unwrap();
    two.start_with(&["--role", "backup"]).unwrap();
    assert_eq!(
        (role(one).as_str(), role(two).as_str()),
        ("master\n", "backup\n")
    );

    two.lvsadm("role master").unwrap();
    one.lvsadm("role backup").unwrap();
    assert_eq!(
        (role(one).as_str(), role(two).as_str()),
        ("backup\n", "master\n")
    );

    one.restart().unwrap();
    two.kill();
    two.start_with(&["--role", "backup"]).unwrap();
    assert_eq!(
        (role(one).as_str(), role(two).as_str()),
        ("backup\n", "master\n")
    );

    two.stop().unwrap();
    two.start_with(&["--role", "backup"]).unwrap();
    assert_eq!(
        role(two),
        "master\n",
        "a data path that goes on keeps its role"
    );

    pair.crash(2).unwrap();
    pair.boot(2).unwrap();
    two.start_with(&["--role", "backup"]).unwrap();
    assert_eq!(role(two), "backup\n");

    let refused = two.try_lvsadm("role boss").unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(role(two), "backup\n");
}

#[test]
fn a_director_becomes_no_second_master_beside_one_that_is_connected() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    pair.start_linked(1, Role::Master, "").unwrap();
    pair.start_linked(2, Role::Backup, "").unwrap();
    two.lvsadm("sync wait --timeout 20s").unwrap();
    let refused = two.try_lvsadm("role master").unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    for word in ["is connected and master", "lvsadm handover", "--force"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(role(two), "backup\n");
    // The one that is master already stays so without a word.
    one.lvsadm("role master").unwrap();
    // A message of the other that it gave way is waited for.
    one.lvsadm("role backup").unwrap();
    two.lvsadm("role master").unwrap();
    assert_eq!([role(one), role(two)], ["backup\n", "master\n"]);
    // Whoever has decided is obeyed.
    one.lvsadm("role master --force").unwrap();
    assert_eq!([role(one), role(two)], ["master\n", "master\n"]);
    two.lvsadm("role backup").unwrap();
    // One that died, or hangs, is in nobody's way for long.
    one.kill();
    two.lvsadm("role master").unwrap();
    assert_eq!(role(two), "master\n");
}
