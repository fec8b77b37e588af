//! Refused directors have a name and a time.

use std::fs;

use lvs_api::model::Family;
use lvs_api::peers::PeerState;
use lvs_tests::lab::addresses::own_sync;

use super::world::{World, has_logged, lines, links, until};

#[test]
fn a_refused_director_is_named_with_its_reason_in_status_and_once_in_the_log() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    world.start_two_with("the key of another story", &lines());
    let address = own_sync(Family::Ipv4, 1).to_string();
    until("it is refused again and again", || {
        let refused = links(world.two()).refused;
        refused
            .iter()
            .any(|it| it.address == address && it.name == "key" && it.count > 3)
    });
    let status = world.two().lvsadm("sync status").unwrap();
    let line = format!("refused {address} (key): it has another key; ");
    assert!(
        status.contains(&line) && status.contains(" times since 20"),
        "{status}"
    );
    let log = fs::read_to_string(world.two().log()).unwrap();
    let lines = log
        .lines()
        .filter(|line| line.contains(&format!("refused {address}")));
    assert_eq!(lines.count(), 1, "{log}");
    // It is no more a reason to wait than a director that is silent.
    until("the backup is ready", || {
        let waited = world.two().try_lvsadm("sync wait --takeover --timeout 0s");
        waited.unwrap().status.success()
    });
}

#[test]
fn a_director_whose_list_names_itself_does_not_dial_itself() {
    let Some(world) = World::new() else {
        return;
    };
    let own = own_sync(Family::Ipv4, 1).to_string();
    world.start_one_with(&["--peer", &own], &lines());
    world.start_two(&lines());
    world.one().lvsadm("sync wait --timeout 20s").unwrap();
    let status = links(world.one());
    let itself = status
        .peers
        .iter()
        .filter(|it| it.state == PeerState::Itself);
    assert_eq!(itself.count(), 1, "{:?}", status.peers);
    // Other directors may not have listened yet.
    assert!(
        !status.refused.iter().any(|it| it.name == "itself"),
        "{:?}",
        status.refused
    );
    assert!(!has_logged(world.one(), "itself"));
}
