//! Replicas that lvsd finds when it starts anew and the tables are still there.

use super::super::inherited::{remembered, replica};
use super::*;

impl World {
    /// The lvsd of a director is another one, whose tables are the same.
    pub(super) fn restart(&mut self, number: usize) {
        let now = self.now;
        if let Some([to_second, to_first]) = self.sessions.take() {
            // It ended at once, and closed no session.
            let (to, session) = match number {
                0 => (1, to_second),
                _ => (0, to_first),
            };
            self.directors[to].session_ended(session, now);
        }
        let director = &mut self.directors[number];
        director.before = None;
        let inherited = Inherited::collect(director.tables(), remembered(&director.senders));
        director.inherited = Mutex::new(inherited);
    }

    /// So much time goes by that no peer is waited for any longer.
    fn expire(&self, number: usize) -> usize {
        let director = &self.directors[number];
        let mut inherited = director.inherited.lock();
        inherited.expire(director.tables(), &director.senders).len()
    }
}

/// A backup that knows two connections of its master, of which the second ends while its lvsd is away.
fn restarted() -> World {
    let mut world = World::new();
    for client in [1, 2] {
        world.directors[0].packet(client, tcp::State::Established, world.now);
    }
    world.converge();
    world.restart(1);
    world.directors[0].close(2);
    world
}

#[test]
fn an_entry_that_ended_while_lvsd_was_away_is_not_sent_back() {
    let mut world = restarted();
    // It is the first to send, and the last to receive.
    world.meet();
    world.send(1, true);
    world.receive(1);
    assert_eq!(world.directors[0].connections().len(), 1, "sent back");
    world.send(0, true);
    world.receive(0);
    assert_eq!(world.directors[1].connections().len(), 1, "ended");
    assert_eq!(world.expire(1), 0, "nobody is waited for any more");
    world.converge();
    for director in &world.directors {
        assert_eq!(director.connections().into_keys().collect::<Vec<_>>(), [1]);
    }
    assert!(!world.directors[1].connections()[&1].2, "the master's");
}

#[test]
fn replicas_of_a_peer_that_does_not_return_are_kept_and_sent_on() {
    let mut world = restarted();
    // The master boots: it is another one, with empty tables.
    world.directors[0] = Director::new(0);
    world.directors[0].instance = Instance(7);
    world.converge();
    assert_eq!(world.directors[1].connections().len(), 2, "kept");
    assert!(world.directors[0].connections().is_empty(), "not yet");
    assert_eq!(world.expire(1), 1);
    world.converge();
    assert_eq!(world.directors[0].connections().len(), 2);
    // The next restart waits for the one that is there, and for nobody else.
    let senders = remembered(&world.directors[1].senders);
    assert_eq!(senders, [Instance(7)].into());
}

#[test]
fn a_session_that_ends_before_the_bulk_sync_removes_nothing() {
    let mut world = restarted();
    world.meet();
    // One of two frames of its scan arrived.
    world.send(0, false);
    world.receive(0);
    world.part();
    assert_eq!(world.directors[1].connections().len(), 2);
    world.converge();
    assert_eq!(world.directors[1].connections().len(), 1);
}

#[test]
fn without_earlier_peers_all_replicas_are_adopted_at_once() {
    let mut world = restarted();
    let director = &mut world.directors[1];
    director.inherited = Mutex::new(Inherited::collect(director.tables(), [].into()));
    assert!(director.connections().values().all(|(.., own)| *own));
}

#[test]
fn all_earlier_peers_are_waited_for() {
    let world = restarted();
    let director = &world.directors[1];
    let (one, other) = (Instance(1), Instance(9));
    let mut inherited = Inherited::collect(director.tables(), [one, other].into());
    let joined = Outcome {
        joined: true,
        ..Outcome::default()
    };
    inherited.note(director.tables(), one, &joined);
    inherited.note(director.tables(), one, &joined);
    assert_eq!(director.connections().len(), 2);
    let applied = Outcome {
        applied: vec![first_replica(director)],
        joined: true,
        ..Outcome::default()
    };
    inherited.note(director.tables(), other, &applied);
    assert_eq!(director.connections().len(), 1, "what was sent again stays");
}

fn first_replica(director: &Director) -> EntryId {
    let entries = director.tables().entries;
    let mut ids = entries.ids();
    ids.find(|&id| replica(entries, id).is_some()).unwrap()
}
