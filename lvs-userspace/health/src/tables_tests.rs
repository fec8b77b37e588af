use super::*;
use lvs_api::model::{Method, Tunnel};

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: "10.9.9.9:80".parse().unwrap(),
    }
}

fn server() -> ServerId {
    ServerId("10.0.0.1:80".parse().unwrap())
}

fn settings(weight: u32) -> ServerSettings {
    ServerSettings {
        method: Method::Direct,
        weight,
        upper: 9,
        lower: 5,
        tunnel: Tunnel::Ipip,
    }
}

fn scheduler(name: &str) -> ServiceSettings {
    ServiceSettings {
        scheduler: name.to_owned(),
        scheduler_flags: 0,
        persistence: None,
        one_packet: false,
        engine: None,
        redispatch: Some(false),
    }
}

/// What is said when the controller's wish goes from one weight to another, `none` being no entry,
/// and the tables hold what an operator left there.
fn check(before: Option<u32>, after: Option<u32>, present: Option<u32>, readd: bool) -> String {
    let change = Change {
        server: server(),
        role: Role::Real,
        before: before.map(settings),
        after: after.map(settings),
    };
    let wish = Wish::Kept {
        settings: None,
        changes: vec![change],
    };
    let current = Wanted {
        settings: scheduler("wrr"),
        servers: present
            .map(|weight| (server(), settings(weight)))
            .into_iter()
            .collect(),
    };
    let whole = Whole {
        settings: scheduler("wrr"),
        entries: vec![],
    };
    let (edits, lines) = edits(&service(), &wish, &whole, Some(&current), readd, "start");
    assert_eq!(edits.len(), lines.len());
    // The words agree with the edit, and the director takes it.
    for (edit, (_, line)) in edits.iter().zip(&lines) {
        assert!(
            lvs_dataplane::director::after(Some(&current), edit).is_ok(),
            "{line}"
        );
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn a_state_that_changes_is_told_in_ldirectords_words() {
    let end = "real server: 10.0.0.1:80 (10.9.9.9:80)";
    assert_eq!(
        check(None, Some(5), None, false),
        format!("Added {end} (Weight set to 5)")
    );
    assert_eq!(
        check(Some(5), None, Some(5), false),
        format!("Deleted {end}")
    );
    assert_eq!(
        check(Some(5), Some(0), Some(5), false),
        format!("Quiescent {end} (Weight set to 0)")
    );
    assert_eq!(
        check(Some(0), Some(5), Some(0), false),
        format!("Restored {end} (Weight set to 5)")
    );
}

#[test]
fn what_an_operator_deleted_stays_deleted_until_the_server_comes_back() {
    assert_eq!(check(Some(5), Some(0), None, false), "");
    assert_eq!(check(Some(5), Some(4), None, false), "");
    assert_eq!(check(Some(5), None, None, false), "");
    let end = "real server: 10.0.0.1:80 (10.9.9.9:80)";
    assert_eq!(
        check(Some(0), Some(5), None, false),
        format!("Added {end} (Weight set to 5)")
    );
    assert_eq!(
        check(Some(5), Some(0), None, true),
        format!("Readd Quiescent {end} (Weight set to 0)")
    );
}

#[test]
fn what_is_as_wanted_is_not_touched() {
    assert_eq!(check(None, Some(5), Some(5), false), "");
    assert_eq!(check(Some(5), Some(0), Some(0), false), "");
}

#[test]
fn a_service_that_somebody_deleted_is_made_again_whole() {
    let whole = Whole {
        settings: scheduler("wlc"),
        entries: vec![(server(), Role::Real, settings(3))],
    };
    let wish = Wish::Kept {
        settings: None,
        changes: vec![],
    };
    let (edits, _) = edits(&service(), &wish, &whole, None, false, "start");
    let mut wanted = None;
    for edit in &edits {
        wanted = lvs_dataplane::director::after(wanted.as_ref(), edit).unwrap();
    }
    let wanted = wanted.unwrap();
    assert_eq!(wanted.settings, whole.settings);
    assert_eq!(wanted.servers, [(server(), settings(3))]);
}

#[test]
fn settings_are_changed_only_when_they_differ() {
    let whole = Whole {
        settings: scheduler("wlc"),
        entries: vec![],
    };
    let wish = Wish::Kept {
        settings: Some(scheduler("wlc")),
        changes: vec![],
    };
    for (present, expected) in [
        ("wlc", vec![]),
        ("rr", vec!["Changed virtual server: 10.9.9.9:80"]),
    ] {
        let current = Wanted {
            settings: scheduler(present),
            servers: vec![],
        };
        let (_, lines) = edits(&service(), &wish, &whole, Some(&current), false, "start");
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, expected);
    }
}
