//! Changes that a scheduler sees of edits made at once.

use lvs_api::model::{Method, Protocol, ServerId, ServiceSettings, Tunnel};

use super::super::wanted::after;
use super::*;

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: "192.0.2.10:80".parse().unwrap(),
    }
}

fn server(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 80).into()
}

fn weighing(weight: u32) -> ServerSettings {
    ServerSettings {
        method: Method::Direct,
        weight,
        upper: 0,
        lower: 0,
        tunnel: Tunnel::Ipip,
        snat: None,
    }
}

/// A service with a scheduler.
fn scheduled(scheduler: &str) -> ServiceSettings {
    serde_json::from_str(&format!("{{\"scheduler\":\"{scheduler}\"}}")).unwrap()
}

fn begin(scheduler: &str) -> Edit {
    Edit::AddService {
        service: service(),
        settings: scheduled(scheduler),
    }
}

fn rebind(scheduler: &str) -> Edit {
    Edit::EditService {
        service: service(),
        settings: scheduled(scheduler),
    }
}

fn add(number: u8, weight: u32) -> Edit {
    Edit::AddServer {
        service: service(),
        server: ServerId(server(number)),
        settings: weighing(weight),
    }
}

fn edit(number: u8, weight: u32) -> Edit {
    Edit::EditServer {
        service: service(),
        server: ServerId(server(number)),
        settings: weighing(weight),
    }
}

fn delete(number: u8) -> Edit {
    Edit::DeleteServer {
        service: service(),
        server: ServerId(server(number)),
    }
}

/// A service after some edits, and the changes that they are.
fn run(before: Option<Wanted>, edits: &[Edit]) -> (Option<Wanted>, Changes) {
    let mut changes = Changes::default();
    let wanted = edits.iter().fold(before, |wanted, edit| {
        changes.add(&service(), wanted.as_ref(), edit);
        after(wanted.as_ref(), edit).unwrap()
    });
    (wanted, changes)
}

fn begun(edits: &[Edit]) -> Option<Wanted> {
    run(None, edits).0
}

#[test]
fn each_edit_of_a_server_is_a_change() {
    let before = begun(&[begin("wrr"), add(1, 3)]);
    let edits = [edit(1, 3), edit(1, 9), delete(1), add(1, 4)];
    let (_, changes) = run(before, &edits);
    assert!(!changes.is_empty() && !changes.forgets());
    assert_eq!(changes.first_pool(), None);
    let one = |weight| (server(1), weight);
    assert_eq!(
        changes.pool(),
        [
            PoolChange::Edited(one(3)),
            PoolChange::Edited(one(9)),
            PoolChange::Removed(server(1)),
            PoolChange::Added(one(4)),
        ]
    );
}

#[test]
fn a_scheduler_that_is_set_begins_with_the_servers_that_there_are() {
    let before = begun(&[begin("wlc"), add(1, 3)]);
    let edits = [edit(1, 5), rebind("wrr"), add(2, 4)];
    let (_, changes) = run(before.clone(), &edits);
    assert!(changes.forgets());
    assert_eq!(changes.first_pool(), Some(&[(server(1), 5)][..]));
    assert_eq!(changes.pool(), [PoolChange::Added((server(2), 4))]);
    assert!(!run(before, &[rebind("wlc")]).1.forgets(), "the same one");
}

#[test]
fn a_service_that_is_deleted_and_added_again_begins_anew() {
    let before = begun(&[begin("wrr"), add(1, 3)]);
    let deleted = Edit::DeleteService { service: service() };
    let (_, changes) = run(before, &[edit(1, 5), deleted, begin("wrr"), add(2, 4)]);
    assert!(changes.begins_anew && changes.forgets());
    assert_eq!(changes.first_pool(), Some(&[][..]));
    assert_eq!(changes.pool(), [PoolChange::Added((server(2), 4))]);
}

#[test]
fn what_is_set_as_a_whole_changes_what_is_another_one() {
    let before = begun(&[begin("wrr"), add(1, 3), add(2, 3), add(3, 3)]).unwrap();
    let next = begun(&[begin("wrr"), add(2, 3), add(3, 1), add(5, 2), add(4, 1)]).unwrap();
    let changes = Changes::between(Some(&before), &next);
    assert_eq!(
        changes.pool(),
        [
            PoolChange::Edited((server(3), 1)),
            PoolChange::Removed(server(1)),
            PoolChange::Added((server(5), 2)),
            PoolChange::Added((server(4), 1)),
        ]
    );
    assert!(Changes::between(Some(&before), &before).is_empty());
}

#[test]
fn the_last_weight_is_of_the_time_since_a_server_was_added() {
    let before = begun(&[begin("mh"), add(1, 3)]);
    let last = |edits: &[Edit]| run(before.clone(), edits).1.last_weight(server(1));
    assert_eq!(last(&[edit(1, 0)]), None, "what it was before");
    assert_eq!(last(&[edit(1, 7), edit(1, 0)]), Some(7));
    assert_eq!(last(&[delete(1), add(1, 0)]), Some(0));
    assert_eq!(last(&[delete(1), add(1, 2), edit(1, 0)]), Some(2));
}

#[test]
fn another_scheduler_of_a_whole_configuration_begins_with_the_servers_that_there_were() {
    let before = begun(&[begin("rr"), add(1, 3)]).unwrap();
    let after = begun(&[begin("wrr"), add(1, 3), add(2, 4)]).unwrap();
    let changes = Changes::between(Some(&before), &after);
    assert!(changes.forgets());
    assert_eq!(changes.first_pool(), Some(&[(server(1), 3)][..]));
    assert_eq!(changes.pool(), [PoolChange::Added((server(2), 4))]);
    assert!(!Changes::between(Some(&before), &before).forgets());
}

#[test]
fn another_scheduler_and_back_is_a_change() {
    let before = begun(&[begin("lblc"), add(1, 3)]);
    let (_, changes) = run(before, &[rebind("rr"), rebind("lblc")]);
    assert!(!changes.is_empty() && changes.forgets());
}
