//! Position of rr and wrr in a pool, kept over a change of it as by the kernel (`ip_vs_rr_del_dest`,
//! `ip_vs_wrr_dest_changed`).
//!
//! The program draws a ticket for each connection, and the ticket modulo the table's length is the slot. A table is
//! therefore turned so that the next ticket leads to where the scheduler goes on.

use std::net::SocketAddr;

use super::rotating::scaled;
use super::{Scheduler, common_divisor};

/// Turns of a table that are tried.
const LONGEST_SEARCH: usize = 4_096;

/// A member of a pool: its server's address, and its weight. Pools are in the order of the service's list, newest
/// first.
pub(crate) type Pooled = (SocketAddr, u32);

/// A change of a pool. The kernel's wrr begins its row again with each, also with one that sets the weight that a server
/// has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolChange {
    /// A server becomes the newest one.
    Added(Pooled),
    /// A server gets a weight.
    Edited(Pooled),
    /// A server is no member any more.
    Removed(SocketAddr),
}

impl PoolChange {
    /// Makes the change.
    fn apply(self, pool: &mut Vec<Pooled>) {
        match self {
            Self::Added(member) => pool.insert(0, member),
            Self::Edited((server, weight)) => {
                let member = pool.iter_mut().find(|(other, _)| *other == server);
                if let Some(member) = member {
                    member.1 = weight;
                }
            }
            Self::Removed(server) => pool.retain(|(other, _)| *other != server),
        }
    }
}

/// How far a service's rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// rr: the server that got the last connection; `None`: the newest is next.
    last: Option<SocketAddr>,
    /// wrr: the weight that it takes to get the next connection (`cw`).
    current: u32,
    /// The next ticket, when the table was laid out.
    ticket: u32,
    /// The slot, of the table before it was turned, that this ticket leads to.
    next: usize,
}

impl Rotation {
    /// That of a scheduler that begins with a pool: at the weight that the first row takes, even if a heavier server
    /// comes before a connection does (`ip_vs_wrr_init_svc`).
    pub(crate) fn begun(ticket: u32, pool: &[Pooled]) -> Self {
        Self {
            current: Shape::of(pool).first(),
            ticket,
            ..Self::default()
        }
    }

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

    /// That of a service whose pool was `before`, after some changes of it. `ticket`: its next one.
    pub(crate) fn after(
        self,
        scheduler: Scheduler,
        before: &[Pooled],
        changes: &[PoolChange],
        ticket: u32,
    ) -> Self {
        let moved = self.moved(scheduler, before, ticket);
        if changes.is_empty() {
            return moved;
        }
        let mut pool = before.to_vec();
        match scheduler {
            Scheduler::RoundRobin => {
                let mut last = moved.last;
                for change in changes {
                    if let PoolChange::Removed(server) = change
                        && last == Some(*server)
                    {
                        last = predecessor(*server, &pool);
                    }
                    change.apply(&mut pool);
                }
                Self {
                    last,
                    next: next_usable(last, &pool),
                    ..moved
                }
            }
            Scheduler::WeightedRoundRobin => {
                let current = changed(moved.current, &mut pool, changes);
                // Where weights are scaled down, a row is of the scaled ones: the order begins anew.
                let current = if is_scaled(before) || is_scaled(&pool) {
                    0
                } else {
                    current
                };
                Self {
                    current,
                    next: first_of_row(current, &pool),
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
fn usable(pool: &[Pooled]) -> impl Iterator<Item = SocketAddr> {
    let usable = pool.iter().filter(|(_, weight)| *weight > 0);
    usable.map(|(server, _)| *server)
}

/// The server before another one in the list.
fn predecessor(server: SocketAddr, pool: &[Pooled]) -> Option<SocketAddr> {
    let place = pool.iter().position(|(other, _)| *other == server)?;
    pool.get(place.checked_sub(1)?).map(|(before, _)| *before)
}

/// The slot of rr's table that follows a server in the list.
fn next_usable(last: Option<SocketAddr>, pool: &[Pooled]) -> usize {
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

/// wrr: the current weight after some changes of a pool, which are made, too.
fn changed(mut current: u32, pool: &mut Vec<Pooled>, changes: &[PoolChange]) -> u32 {
    let mut shape = Shape::of(pool);
    for change in changes {
        change.apply(pool);
        match change {
            PoolChange::Added((_, weight)) => shape.add(*weight),
            PoolChange::Edited(_) | PoolChange::Removed(_) => shape = Shape::of(pool),
        }
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

    /// A server by its number.
    fn server(number: u32) -> SocketAddr {
        ([10, 0, 0, 1], u16::try_from(number).unwrap()).into()
    }

    fn added(number: u32, weight: u32) -> PoolChange {
        PoolChange::Added((server(number), weight))
    }

    fn edited(number: u32, weight: u32) -> PoolChange {
        PoolChange::Edited((server(number), weight))
    }

    fn removed(number: u32) -> PoolChange {
        PoolChange::Removed(server(number))
    }

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
                rotation: Rotation::begun(ticket, &[]),
                slots: Vec::new(),
                ticket,
            }
        }

        fn edit(&mut self, changes: &[PoolChange]) {
            let ticket = self.ticket;
            self.rotation = self
                .rotation
                .after(self.scheduler, &self.pool, changes, ticket);
            for change in changes {
                change.apply(&mut self.pool);
            }
            let weights: Vec<_> = self.pool.iter().map(|(_, weight)| *weight).collect();
            self.slots = self.scheduler.table(&candidates(&weights));
            self.rotation.turn(&mut self.slots);
        }

        fn pick(&mut self, times: usize) -> Vec<u16> {
            let mut pick = || {
                let slot = self.slots[self.ticket as usize % self.slots.len()];
                self.ticket = self.ticket.wrapping_add(1);
                self.pool[usize::from(slot)].0.port()
            };
            (0..times).map(|_| pick()).collect()
        }
    }

    #[test]
    fn rr_goes_on_behind_the_server_that_was_last() {
        for ticket in [0, 1, 5, 1_000] {
            let mut service = Service::new(Scheduler::RoundRobin, ticket);
            service.edit(&[added(1, 1), added(2, 1), added(3, 1)]);
            assert_eq!(service.pick(5), [3, 2, 1, 3, 2]);
            service.edit(&[edited(2, 0)]);
            assert_eq!(service.pick(1), [1]);
            service.edit(&[added(4, 1), edited(2, 1)]);
            assert_eq!(service.pick(3), [4, 3, 2]);
            service.edit(&[removed(2)]);
            service.edit(&[edited(3, 1)]);
            assert_eq!(service.pick(2), [1, 4]);
            service.edit(&[removed(4), added(4, 1), removed(3)]);
            assert_eq!(service.pick(2), [4, 1]);
            service.edit(&[removed(1), removed(4)]);
            service.edit(&[added(5, 1), added(6, 1)]);
            assert_eq!(service.pick(2), [6, 5]);
        }
    }

    #[test]
    fn wrr_keeps_its_current_weight() {
        let mut service = Service::new(Scheduler::WeightedRoundRobin, 7);
        // Each server that is added is a change: the first one sets the current weight.
        service.edit(&[added(1, 1), added(2, 2), added(3, 3)]);
        assert_eq!(service.pick(6), [3, 2, 1, 3, 3, 2]);
        service.edit(&[edited(1, 2)]);
        assert_eq!(service.pick(3), [3, 2, 1]);
    }

    #[test]
    fn wrr_begins_with_the_pool_that_there_is() {
        let mut service = Service::new(Scheduler::WeightedRoundRobin, 7);
        service.pool = vec![(server(2), 4), (server(1), 2)];
        service.rotation = Rotation::begun(7, &service.pool);
        service.edit(&[edited(2, 8)]);
        assert_eq!(service.pick(5), [2, 2, 1, 2, 2]);
        service.rotation = Rotation::begun(service.ticket, &service.pool);
        service.edit(&[]);
        assert_eq!(service.pick(5), [2, 2, 2, 2, 1]);
    }

    #[test]
    fn wrr_begins_its_row_again_with_each_edit() {
        let mut service = Service::new(Scheduler::WeightedRoundRobin, 7);
        service.edit(&[added(1, 2), added(2, 2), added(3, 3)]);
        service.edit(&[edited(2, 3), edited(2, 2)]);
        assert_eq!(service.pick(3), [3, 2, 1]);
        service.edit(&[edited(2, 2)]);
        assert_eq!(service.pick(2), [3, 2]);
        assert_eq!(service.pick(3), [1, 3, 3]);
        // What happens on the way counts: a divisor of 2 brings the current weight from 2 down to 1.
        service.edit(&[edited(3, 2), edited(3, 3)]);
        assert_eq!(service.pick(5), [3, 2, 1, 3, 3]);
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
                let pool: Vec<_> = (0..).zip(&weights).map(|(number, weight)| added(number, *weight)).collect();
                // Not where 2^32 tickets end in the middle of a table.
                let mut service = Service::new(scheduler, ticket / 2);
                service.edit(&pool);
                if service.slots.is_empty() {
                    continue;
                }
                service.pick(picks);
                let slots = service.slots.clone();
                let next = service.ticket as usize % slots.len();
                service.edit(&[]);
                let again = service.ticket as usize % slots.len();
                proptest::prop_assert_eq!(rotated(&slots, next), rotated(&service.slots, again));
            }
        }
    }
}
