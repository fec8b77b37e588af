//! A handover of the role that fails.

use lvs_api::role::Role;
use lvs_tests::lab::{Director, Pair};

/// A handover that fails; what it complains about.
fn failed(director: &Director) -> String {
    let output = director.try_lvsadm("handover --timeout 1s").unwrap();
    assert!(!output.status.success());
    assert_eq!(director.lvsadm("role").unwrap(), "master\n");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_failed_handover_leaves_the_master_in_its_role() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    one.start().unwrap();
    let complaint = failed(one);
    assert!(complaint.contains("--peer"), "{complaint}");
    one.stop().unwrap();

    pair.start_linked(1, Role::Master, "").unwrap();
    let complaint = failed(one);
    assert!(
        complaint.contains("no director that is backup"),
        "{complaint}"
    );

    pair.start_linked(2, Role::Backup, "").unwrap();
    one.lvsadm("sync wait").unwrap();
    // An interface is gone where one address belongs.
    two.namespace().ip("link set front name other").unwrap();
    let complaint = failed(one);
    assert!(complaint.contains("there is no interface"), "{complaint}");
    assert_eq!(two.lvsadm("role").unwrap(), "backup\n");

    two.namespace().ip("link set other name front").unwrap();
    one.lvsadm("handover").unwrap();
    assert_eq!(two.lvsadm("role").unwrap(), "master\n");
    let output = one.try_lvsadm("handover").unwrap();
    assert!(
        !output.status.success(),
        "a backup has nothing to hand over"
    );
}
