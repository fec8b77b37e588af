//! What becomes of what peers had told when lvsd starts anew and the tables are still there.

use super::super::found::remembered;
use super::super::hold;
use super::*;

impl World {
    /// The lvsd of a director is another one, whose tables are the same.
    pub(super) fn restart(&mut self, number: usize) {
        let now = self.now;
        if let Some([to_second, to_first]) = self.sessions.take() {
            // Who ended at once took leave of nobody.
            let (to, session) = match number {
                0 => (1, to_second),
                _ => (0, to_first),
            };
            self.directors[to].is_left(session, now);
        }
        let director = &mut self.directors[number];
        director.before = None;
        let found = Found::look(director.view(), remembered(&director.tellers));
        director.found = Mutex::new(found);
    }

    /// So much time went by that nobody who did not return is waited for.
    fn give_up(&self, number: usize) -> usize {
        let director = &self.directors[number];
        let mut found = lock(&director.found);
        found.give_up(director.view(), &director.tellers).len()
    }
}

/// A backup that knows two connections of its master, of which the second ends while its lvsd is away.
fn restarted() -> World {
    let mut world = World::new();
    for client in [1, 2] {
        world.directors[0].packet(client, tcp::State::Established, world.now);
    }
    world.settle();
    world.restart(1);
    world.directors[0].close(2);
    world
}

#[test]
fn what_ended_while_lvsd_was_away_is_not_told_back_to_who_ended_it() {
    let mut world = restarted();
    // It is the first to speak, and is told last.
    world.meet();
    world.tell(1, true);
    world.take(1);
    assert_eq!(world.directors[0].connections().len(), 1, "told back");
    world.tell(0, true);
    world.take(0);
    assert_eq!(world.directors[1].connections().len(), 1, "ended");
    assert_eq!(world.give_up(1), 0, "nobody is waited for any more");
    world.settle();
    for director in &world.directors {
        assert_eq!(director.connections().into_keys().collect::<Vec<_>>(), [1]);
    }
    assert!(!world.directors[1].connections()[&1].2, "the master's");
}

#[test]
fn what_was_told_by_who_does_not_return_is_kept_and_told_on() {
    let mut world = restarted();
    // The master boots: it is another one, with empty tables.
    world.directors[0] = Director::new(0);
    world.directors[0].instance = Instance(7);
    world.settle();
    assert_eq!(world.directors[1].connections().len(), 2, "kept");
    assert!(world.directors[0].connections().is_empty(), "not yet");
    assert_eq!(world.give_up(1), 1);
    world.settle();
    assert_eq!(world.directors[0].connections().len(), 2);
    // The next restart waits for the one that is there, and for nobody else.
    let tellers = remembered(&world.directors[1].tellers);
    assert_eq!(tellers, [Instance(7)].into());
}

#[test]
fn a_link_that_breaks_before_everything_was_told_ends_nothing() {
    let mut world = restarted();
    world.meet();
    // One of two frames of its scan arrived.
    world.tell(0, false);
    world.take(0);
    world.part();
    assert_eq!(world.directors[1].connections().len(), 2);
    world.settle();
    assert_eq!(world.directors[1].connections().len(), 1);
}

#[test]
fn what_nobody_can_have_told_is_the_own_at_once() {
    let mut world = restarted();
    let director = &mut world.directors[1];
    director.found = Mutex::new(Found::look(director.view(), [].into()));
    assert!(director.connections().values().all(|(.., own)| *own));
}

#[test]
fn of_several_that_may_have_told_it_all_are_waited_for() {
    let world = restarted();
    let director = &world.directors[1];
    let (one, other) = (Instance(1), Instance(9));
    let mut found = Found::look(director.view(), [one, other].into());
    let joined = Outcome {
        joined: true,
        ..Outcome::default()
    };
    found.hear(director.view(), one, &joined);
    found.hear(director.view(), one, &joined);
    assert_eq!(director.connections().len(), 2);
    let taken = Outcome {
        taken: vec![first_told(director)],
        joined: true,
        ..Outcome::default()
    };
    found.hear(director.view(), other, &taken);
    assert_eq!(director.connections().len(), 1, "what was told again stays");
}

/// The number of an entry that a peer told.
fn first_told(director: &Director) -> u32 {
    let told = (0..WAYS[0]).find(|&way| hold::told(&director.connections4, way).is_some());
    told.unwrap() + 1
}
