//! Position of rr and wrr in a pool, kept over a change of it as by the kernel (`ip_vs_rr_del_dest`,
//! `ip_vs_wrr_dest_changed`).
//!
//! The program draws a ticket for each connection, and the ticket modulo the table's length is the slot. A table is
//! therefore turned so that the next ticket leads to where the scheduler goes on.

use super::rotating::scaled;
use super::{Scheduler, common_divisor};

/// Turns of a table that are tried.
const LONGEST_SEARCH: usize = 4_096;

/// A member of a pool: its server's index, and its weight. Pools are in the order of the service's list, newest first.
pub(crate) type Pooled = (u32, u32);

/// How far a service's rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// rr: the server that got the last connection; `None`: the newest is next.
    last: Option<u32>,
    /// wrr: the weight that it takes to get the next connection (`cw`).
    current: u32,
    /// The next ticket, when the table was laid out.
    ticket: u32,
    /// The slot, of the table before it was turned, that this ticket leads to.
    next: usize,
}

impl Rotation {
    /// That of a table that an earlier daemon turned. `slots`: as it is laid out from its beginning.
    pub(crate) fn of_table(slots: &[u16], turned: &[u16]) -> Self {
        let is_turn = |next: usize| {
            let (start, end) = slots.split_at(next);
            turned.strip_prefix(end) == Some(start)
        };
        // A longer one begins anew with the next change, rather than be compared for as long.
        let next = (0..slots.len().min(LONGEST_SEARCH)).find(|&next| is_turn(next));
        Self {
            next: next.unwrap_or(0),
            ..Self::default()
        }
    }

    /// That of a service whose pool was `before`, and is `pool` from now on. `ticket`: its next one.
    pub(crate) fn after(
        self,
        scheduler: Scheduler,
        before: &[Pooled],
        pool: &[Pooled],
        ticket: u32,
    ) -> Self {
        let moved = self.moved(scheduler, before, ticket);
        if before == pool {
            return moved;
        }
        match scheduler {
            Scheduler::RoundRobin => {
                let last = surviving(moved.last, before, pool);
                Self {
                    last,
                    next: next_usable(last, pool),
                    ..moved
                }
            }
            Scheduler::WeightedRoundRobin => {
                // Where weights are scaled down, a row is of the scaled ones: the order begins anew.
                let current = if is_scaled(before) || is_scaled(pool) {
                    0
                } else {
                    changed(moved.current, before, pool)
                };
                Self {
                    current,
                    next: first_of_row(current, pool),
                    ..moved
                }
            }
            _ => moved,
        }
    }

    /// Turns a table that is laid out from its beginning.
    pub(crate) fn turn(self, slots: &mut [u16]) {
        let length = slots.len();
        if length != 0 {
            let place = self.ticket as usize % length;
            slots.rotate_left((self.next % length + length - place) % length);
        }
    }

    /// The same with the tickets that were drawn meanwhile.
    fn moved(self, scheduler: Scheduler, pool: &[Pooled], ticket: u32) -> Self {
        let drawn = ticket.wrapping_sub(self.ticket) as usize;
        let length = match scheduler {
            Scheduler::RoundRobin => usable(pool).count(),
            Scheduler::WeightedRoundRobin => rows(pool).map(|(_, length)| length).sum(),
            _ => 0,
        };
        if drawn == 0 || length == 0 {
            return Self { ticket, ..self };
        }
        let next = (self.next + drawn) % length;
        let last = (next + length - 1) % length;
        let (last, current) = match scheduler {
            Scheduler::RoundRobin => (usable(pool).nth(last), self.current),
            _ => (None, row_of(last, pool)),
        };
        Self {
            last,
            current,
            ticket,
            next,
        }
    }
}

/// The servers that rr's table has, in its order.
fn usable(pool: &[Pooled]) -> impl Iterator<Item = u32> {
    let usable = pool.iter().filter(|(_, weight)| *weight > 0);
    usable.map(|(server, _)| *server)
}

/// The nearest server of `pool` at or before the last one in the list `before`.
fn surviving(last: Option<u32>, before: &[Pooled], pool: &[Pooled]) -> Option<u32> {
    let place = before
        .iter()
        .position(|(server, _)| Some(*server) == last)?;
    let mut earlier = before
        .iter()
        .take(place + 1)
        .rev()
        .map(|(server, _)| *server);
    earlier.find(|server| pool.iter().any(|(other, _)| other == server))
}

/// The slot of rr's table that follows a server in the list.
fn next_usable(last: Option<u32>, pool: &[Pooled]) -> usize {
    let place = pool.iter().position(|(server, _)| Some(*server) == last);
    let Some(place) = place else { return 0 };
    let passed = usable(&pool[..=place]).count();
    // At its end the table begins anew.
    if passed == usable(pool).count() {
        0
    } else {
        passed
    }
}

/// wrr: the current weight after the changes that lead from one pool to another, each by itself.
fn changed(mut current: u32, before: &[Pooled], pool: &[Pooled]) -> u32 {
    let of = |server: u32, pool: &[Pooled]| {
        let found = pool.iter().find(|(other, _)| *other == server);
        found.map(|(_, weight)| *weight)
    };
    let mut list = before.to_vec();
    for (server, _) in before {
        match of(*server, pool) {
            None => list.retain(|(other, _)| other != server),
            Some(weight) => {
                let Some(entry) = list.iter_mut().find(|(other, _)| other == server) else {
                    continue;
                };
                if entry.1 == weight {
                    continue;
                }
                entry.1 = weight;
            }
        }
        current = Shape::of(&list).adapt(current);
    }
    let mut shape = Shape::of(&list);
    for (_, weight) in pool
        .iter()
        .rev()
        .filter(|(server, _)| of(*server, before).is_none())
    {
        shape.add(*weight);
        current = shape.adapt(current);
    }
    current
}

/// Greatest common divisor and maximum of a pool's weights, for wrr.
#[derive(Clone, Copy)]
struct Shape {
    /// Their greatest common divisor; 0: there is none.
    divisor: u32,
    heaviest: u32,
}

impl Shape {
    fn of(pool: &[Pooled]) -> Self {
        Self::of_weights(pool.iter().map(|(_, weight)| *weight))
    }

    fn of_weights(weights: impl Iterator<Item = u32>) -> Self {
        let mut shape = Self {
            divisor: 0,
            heaviest: 0,
        };
        for weight in weights {
            shape.add(weight);
        }
        shape
    }

    fn add(&mut self, weight: u32) {
        if weight != 0 {
            self.divisor = common_divisor([self.divisor, weight].into_iter());
            self.heaviest = self.heaviest.max(weight);
        }
    }

    /// The current weight of the first row (`mw`).
    fn first(self) -> u32 {
        self.heaviest.saturating_sub(self.divisor.max(1) - 1)
    }

    /// The current weight after the pool became this one.
    fn adapt(self, current: u32) -> u32 {
        let (step, first) = (self.divisor.max(1), self.first());
        if current > first || current == 0 {
            first
        } else if step > 1 {
            current / step * step + 1
        } else {
            current
        }
    }
}

/// The weights by which wrr's table is laid out.
fn laid_out(pool: &[Pooled]) -> Vec<u32> {
    scaled(pool.iter().map(|(_, weight)| *weight).collect())
}

fn is_scaled(pool: &[Pooled]) -> bool {
    let weights = pool.iter().map(|(_, weight)| *weight);
    !weights.eq(laid_out(pool))
}

/// wrr's rows, as the table has them: of each the current weight, and how many servers weigh as much.
fn rows(pool: &[Pooled]) -> impl Iterator<Item = (u32, usize)> {
    let mut weights = laid_out(pool);
    let shape = Shape::of_weights(weights.iter().copied());
    weights.sort_unstable_by_key(|&weight| std::cmp::Reverse(weight));
    let mut current = shape.first();
    std::iter::from_fn(move || {
        let row = (current > 0).then(|| {
            (
                current,
                weights.partition_point(|&weight| weight >= current),
            )
        })?;
        current = current.saturating_sub(shape.divisor.max(1));
        Some(row)
    })
}

/// The current weight of the row that a slot is in.
fn row_of(slot: usize, pool: &[Pooled]) -> u32 {
    let mut left = slot;
    let row = rows(pool).find(|(_, length)| {
        let here = left < *length;
        left = left.saturating_sub(*length);
        here
    });
    row.map_or(0, |(current, _)| current)
}

/// The first slot of the row with a current weight; of none, that of the table.
fn first_of_row(current: u32, pool: &[Pooled]) -> usize {
    let above = rows(pool).take_while(|(weight, _)| current != 0 && *weight > current);
    above.map(|(_, length)| length).sum()
}

#[cfg(test)]
mod tests {
    use super::super::candidates;
    use super::*;

    /// A service whose servers are numbered as its connections choose them.
    struct Service {
        scheduler: Scheduler,
        pool: Vec<Pooled>,
        rotation: Rotation,
        slots: Vec<u16>,
        ticket: u32,
    }

    impl Service {
        fn new(scheduler: Scheduler, ticket: u32) -> Self {
            Self {
                scheduler,
                pool: Vec::new(),
                rotation: Rotation::default().after(scheduler, &[], &[], ticket),
                slots: Vec::new(),
                ticket,
            }
        }

        fn edit(&mut self, pool: &[Pooled]) {
            let ticket = self.ticket;
            self.rotation = self
                .rotation
                .after(self.scheduler, &self.pool, pool, ticket);
            self.pool = pool.to_vec();
            let weights: Vec<_> = pool.iter().map(|(_, weight)| *weight).collect();
            self.slots = self.scheduler.table(&candidates(&weights));
            self.rotation.turn(&mut self.slots);
        }

        fn pick(&mut self, times: usize) -> Vec<u32> {
            let mut pick = || {
                let slot = self.slots[self.ticket as usize % self.slots.len()];
                self.ticket = self.ticket.wrapping_add(1);
                self.pool[usize::from(slot)].0
            };
            (0..times).map(|_| pick()).collect()
        }
    }

    #[test]
    fn rr_goes_on_behind_the_server_that_was_last() {
        for ticket in [0, 1, 5, 1_000] {
            let mut service = Service::new(Scheduler::RoundRobin, ticket);
            service.edit(&[(3, 1), (2, 1), (1, 1)]);
            assert_eq!(service.pick(5), [3, 2, 1, 3, 2]);
            service.edit(&[(3, 1), (2, 0), (1, 1)]);
            assert_eq!(service.pick(1), [1]);
            service.edit(&[(4, 1), (3, 1), (2, 1), (1, 1)]);
            assert_eq!(service.pick(3), [4, 3, 2]);
            service.edit(&[(4, 1), (3, 1), (1, 1)]);
            service.edit(&[(4, 1), (3, 1), (1, 1)]);
            assert_eq!(service.pick(2), [1, 4]);
            service.edit(&[]);
            service.edit(&[(6, 1), (5, 1)]);
            assert_eq!(service.pick(2), [6, 5]);
        }
    }

    #[test]
    fn wrr_keeps_its_current_weight() {
        let mut service = Service::new(Scheduler::WeightedRoundRobin, 7);
        // Each server that is added is a change: the first one sets the current weight.
        service.edit(&[(3, 3), (2, 2), (1, 1)]);
        assert_eq!(service.pick(6), [3, 2, 1, 3, 3, 2]);
        service.edit(&[(3, 3), (2, 2), (1, 2)]);
        assert_eq!(service.pick(3), [3, 2, 1]);
    }

    #[test]
    fn an_adopted_table_is_known_to_be_turned() {
        for next in 0..9 {
            let slots = rotated(&[0, 0, 1, 0, 1, 2, 0, 1, 2], next);
            let rotation = Rotation::of_table(&rotated(&slots, 0), &rotated(&slots, next));
            assert_eq!(rotation.next, next);
        }
    }

    fn rotated(slots: &[u16], next: usize) -> Vec<u16> {
        let mut slots = slots.to_vec();
        slots.rotate_left(next);
        slots
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_the_pool_moves_it(
            weights in proptest::collection::vec(
                proptest::prop_oneof![0u32..9, 0u32..=0x7fff_ffff],
                1..9,
            ),
            ticket: u32,
            picks in 0usize..40,
        ) {
            for scheduler in [Scheduler::RoundRobin, Scheduler::WeightedRoundRobin] {
                let pool: Vec<Pooled> = (0..).zip(weights.iter().copied()).collect();
                // Not where 2^32 tickets end in the middle of a table.
                let mut service = Service::new(scheduler, ticket / 2);
                service.edit(&pool);
                if service.slots.is_empty() {
                    continue;
                }
                service.pick(picks);
                let slots = service.slots.clone();
                let next = service.ticket as usize % slots.len();
                service.edit(&pool);
                let again = service.ticket as usize % slots.len();
                proptest::prop_assert_eq!(rotated(&slots, next), rotated(&service.slots, again));
            }
        }
    }
}
