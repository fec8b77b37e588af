//! The OCF resource agent, judged by ocf-tester and by the exit codes that Pacemaker knows.

use crate::site::{FILE, site};

#[test]
fn the_resource_agent_passes_ocf_tester() {
    let Some(site) = site(&["10.0.0"], &["ocf-tester", "xmllint"]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    lvs1.write("/etc/ha.d/www.cf", FILE, 0o644).unwrap();
    let tested = lvs1
        .run("ocf-tester -v -n lvs -o configfile=www.cf /usr/lib/ocf/resource.d/lvs/director")
        .unwrap();
    println!("{}", tested.said);
    assert!(tested.success, "{}", tested.said);
    assert!(tested.said.contains("passed all tests"), "{}", tested.said);
    let untested = tested.said.contains("does not support promotable");
    assert!(!untested, "{}", tested.said);
}

#[test]
fn the_resource_agent_reports_errors_by_ocf_exit_codes() {
    let Some(site) = site(&["10.0.0"], &["ocf-tester"]) else {
        return;
    };
    let lvs1 = site.director("lvs1");
    let agent = |action: &str, parameters: &str| {
        let line = format!(
            "env OCF_ROOT=/usr/lib/ocf {parameters} /usr/lib/ocf/resource.d/lvs/director {action}"
        );
        let ended = lvs1.run(&line).unwrap();
        (ended.code.unwrap(), ended.said)
    };
    lvs1.write("/etc/ha.d/wrong.cf", "virtual=nonsense\n", 0o644)
        .unwrap();
    let wrong = "OCF_RESKEY_configfile=wrong.cf";
    let missing = "OCF_RESKEY_configfile=missing.cf";
    let without = "OCF_RESKEY_lvsd=/nowhere";
    for (action, parameters, code) in [
        ("validate-all", wrong, 6),
        ("start", wrong, 6),
        ("start", missing, 5),
        ("start", without, 5),
        ("monitor", missing, 7),
        ("monitor", without, 7),
        // What does not run can be stopped, whatever is missing.
        ("stop", wrong, 0),
        ("stop", missing, 0),
        ("stop", without, 0),
        ("migrate_to", "", 3),
    ] {
        let (found, said) = agent(action, parameters);
        assert_eq!(found, code, "{action} {parameters}: {said}");
    }
    let (_, said) = agent("start", wrong);
    assert!(said.contains("ocf-exit-reason:"), "{said}");
    assert!(said.contains("nonsense"), "{said}");
}
