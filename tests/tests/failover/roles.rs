//! The role of a director: master or backup, kept until a command or a reboot changes it.

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
