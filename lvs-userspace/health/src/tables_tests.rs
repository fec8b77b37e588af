use lvs_api::model::{Method, Tunnel};

use super::*;

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
        snat: None,
    }
}

fn scheduler(name: &str) -> ServiceSettings {
    ServiceSettings {
        scheduler: name.to_owned(),
        scheduler_flags: 0,
        persistence: None,
        one_packet: false,
        engine: None,
        filter: Some(lvs_api::filter::Filter::default()),
        redispatch: Some(false),
        on_down: Some(lvs_api::model::OnDown::Keep),
        timeouts: Some(lvs_api::timeouts::Timeouts::default()),
    }
}

/// A desired state with this scheduler and at most one server.
fn desired(name: &str, weight: Option<u32>) -> Arc<Desired> {
    let entry = |weight| Entry {
        role: Role::Real,
        settings: settings(weight),
    };
    Arc::new(Desired {
        settings: scheduler(name),
        servers: weight
            .map(|weight| (server(), entry(weight)))
            .into_iter()
            .collect(),
    })
}

fn update(before: &Arc<Desired>, after: &Arc<Desired>) -> Update {
    Update {
        service: service(),
        before: Arc::clone(before),
        after: Some(Arc::clone(after)),
        dirty_settings: false,
        readd: false,
        phase: "start",
    }
}

/// The lines when the desired weight goes from one to another, `none` being no entry, and the tables hold what
/// an operator left there.
fn check(before: Option<u32>, after: Option<u32>, present: Option<u32>, readd: bool) -> String {
    let current = Wanted {
        settings: scheduler("wrr"),
        servers: present
            .map(|weight| (server(), settings(weight)))
            .into_iter()
            .collect(),
    };
    let update = Update {
        readd,
        ..update(&desired("wrr", before), &desired("wrr", after))
    };
    let (edits, lines) = edits(&update, Some(&current));
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
fn changes_of_weight_are_logged_in_ldirectords_words() {
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
    let desired = desired("wlc", Some(3));
    let (edits, _) = edits(&update(&desired, &desired), None);
    let mut wanted = None;
    for edit in &edits {
        wanted = lvs_dataplane::director::after(wanted.as_ref(), edit).unwrap();
    }
    let wanted = wanted.unwrap();
    assert_eq!(wanted.settings, desired.settings);
    assert_eq!(wanted.servers, [(server(), settings(3))]);
}

#[test]
fn settings_are_changed_only_when_they_differ() {
    let desired = desired("wlc", None);
    let update = Update {
        dirty_settings: true,
        ..update(&desired, &desired)
    };
    for (present, expected) in [
        ("wlc", vec![]),
        ("rr", vec!["Changed virtual server: 10.9.9.9:80"]),
    ] {
        let current = Wanted {
            settings: scheduler(present),
            servers: vec![],
        };
        let (_, lines) = edits(&update, Some(&current));
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, expected);
    }
}
