//! A peer that comes back with new tables is the same peer.

use super::world::{SHORT, World, connections, lines, peer};

#[test]
fn a_peer_with_new_tables_replaces_its_old_self_and_handover_works_at_once() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    world.start_two(&lines());
    world.one().lvsadm("sync wait --timeout 20s").unwrap();
    let streams = world.connect(&SHORT, 5);
    world.agree(streams.len());
    let old = peer(world.one()).instance;

    world.two().stop().unwrap();
    world.start_two_to("10.3.0.1", &["--reset"], &lines());
    world.one().lvsadm("sync wait --timeout 20s").unwrap();
    let new = peer(world.one()).instance;
    assert_ne!(old, new);

    // The other one knows it only as one that dials, too.
    world.pair.crash(2).unwrap();
    world.pair.boot(2).unwrap();
    world.start_two(&lines());
    world.one().lvsadm("sync wait --timeout 20s").unwrap();
    assert_ne!(peer(world.one()).instance, new);
    world.one().lvsadm("handover --timeout 20s").unwrap();
    assert_eq!(world.two().lvsadm("role").unwrap(), "master\n");
    assert_eq!(connections(world.two()).len(), streams.len());
}

#[test]
fn a_peer_that_is_not_dialed_replaces_its_old_self_too() {
    let Some(world) = World::new() else {
        return;
    };
    // The first director dials nobody who answers.
    world.start_one_to("10.3.0.9", &lines());
    let known = |count| {
        super::world::until("the peer that dials is known", || {
            let peers = super::world::links(world.one()).peers;
            let dialing = peers.iter().filter(|peer| peer.received.is_some());
            dialing.count() == count
        });
    };
    world.start_two(&lines());
    known(1);
    let instance = || {
        let peers = super::world::links(world.one()).peers;
        peers.into_iter().find(|peer| peer.received.is_some())
    };
    let old = instance().unwrap().instance;
    world.two().stop().unwrap();
    world.start_two_to("10.3.0.1", &["--reset"], &lines());
    super::world::until("the old one is gone", || {
        instance().is_some_and(|peer| peer.instance != old)
    });
    known(1);
}
