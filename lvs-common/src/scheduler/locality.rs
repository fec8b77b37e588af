//! lblc and lblcr: connections to a destination stay with a server, or with a set of them, while it is not overloaded
//! and another one idle. For clusters of caches, whose destinations are many; a virtual address is one.

use super::{Flow, NO_SERVER, Search, overhead, usable};
use crate::abi::{Locality, LocalityKey, Member, Pick, Plan, age, ticks};
use crate::tables::Tables;
use crate::walk::Step;

/// A destination is forgotten, or its set loses a server, after so many seconds (`lblc_expiration`,
/// `lblcr_expiration`).
const EXPIRATION: u32 = 24 * 60 * 60;

/// State of the search beside that of wlc, which [`Search`] has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The least loaded of the destination's servers.
    least: Candidate,
    /// The most loaded of them.
    most: Candidate,
    /// Established connections of the least loaded.
    active: u32,
    /// Not 0: a server has less than half as many established connections as it weighs.
    spare: u32,
    /// Bits of the destination's servers that the service still has.
    known: u32,
    /// What is remembered of the destination.
    locality: Locality,
}

/// One of the destination's servers.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// Its place in the table of members, plus one; 0: none.
    place: u32,
    /// Its place among the destination's servers.
    number: u32,
    weight: u32,
    cost: u64,
}

impl Candidate {
    const NONE: Self = Self {
        place: 0,
        number: 0,
        weight: 0,
        cost: 0,
    };
}

impl Kept {
    pub(super) const NONE: Self = Self {
        least: Candidate::NONE,
        most: Candidate::NONE,
        active: 0,
        spare: 0,
        known: 0,
        locality: Locality {
            servers: [NO_SERVER; Locality::SERVERS],
            used: 0,
            changed: 0,
        },
    };
}

/// Picks a server: the place of its member.
#[inline(never)]
pub(super) fn pick<T: Tables>(
    tables: T,
    plan: &Plan,
    flow: &Flow,
    search: &mut Search,
) -> Option<u32> {
    let now = tables.now();
    let key = LocalityKey {
        service: plan.service,
        destination: flow.destination,
    };
    let is_set = plan.pick == Pick::LocalitySet as u8;
    search.kept = Kept::NONE;
    search.kept.locality.changed = now;
    if let Some(locality) = tables.locality(&key)
        && age(now, locality.used) <= ticks(EXPIRATION)
    {
        search.kept.locality = locality;
    }
    tables.walk(
        plan.member_count,
        &mut Searcher {
            tables,
            plan,
            is_set,
            search,
        },
    );
    // Where it lies: the stack has no room for it.
    let kept = &mut search.kept;
    let locality = &mut kept.locality;
    let overloaded = kept.active > kept.least.weight && kept.spare != 0;
    let stays = kept.least.place != 0 && !overloaded;
    let place = if stays {
        kept.least.place
    } else if search.best != 0 {
        search.best
    } else {
        search.avoided
    };
    let place = place.checked_sub(1)?;
    forget(locality, kept.known);
    let shrinks =
        kept.least.number != kept.most.number && age(now, locality.changed) > ticks(EXPIRATION);
    if is_set && shrinks {
        forget(locality, !(1 << (kept.most.number & 31)));
        locality.changed = now;
    }
    if !stays {
        insert(locality, tables.member(place)?.server, is_set);
        locality.changed = now;
    }
    locality.used = now;
    tables.set_locality(&key, locality);
    Some(place)
}

/// Frees the places of servers whose bits are not set.
#[inline(always)]
fn forget(locality: &mut Locality, known: u32) {
    for (number, server) in locality.servers.iter_mut().enumerate() {
        if known & 1 << number == 0 {
            *server = NO_SERVER;
        }
    }
}

/// Adds a server to a set, or makes it the only one. The others move on as far as to the first free place.
#[inline(always)]
fn insert(locality: &mut Locality, new: u32, is_set: bool) {
    if is_set && locality.servers.contains(&new) {
        return;
    }
    let mut carried = new;
    for server in &mut locality.servers {
        let before = *server;
        if carried != NO_SERVER {
            *server = carried;
            carried = before;
        }
        if !is_set {
            carried = NO_SERVER;
        }
    }
}

/// The walk over all members.
struct Searcher<'a, T> {
    tables: T,
    plan: &'a Plan,
    is_set: bool,
    search: &'a mut Search,
}

impl<T: Tables> Searcher<'_, T> {
    /// The server's place among those of the destination.
    #[inline(always)]
    fn number(&self, server: u32) -> Option<u32> {
        (0..)
            .zip(&self.search.kept.locality.servers)
            .find(|(_, known)| **known == server)
            .map(|(number, _)| number)
    }

    #[inline(always)]
    fn look_at(&mut self, place: u32, member: &Member) {
        let tables = self.tables;
        let load = tables.load(member.server);
        let (active, weight) = (load.active(), member.weight);
        if active.saturating_mul(2) < weight {
            self.search.kept.spare = 1;
        }
        let number = self.number(member.server);
        if let Some(number) = number {
            self.search.kept.known |= 1 << (number & 31);
        }
        if weight == 0 {
            return;
        }
        let usable = usable(tables, member);
        if member.server == self.search.avoid {
            if usable {
                self.search.avoided = place.wrapping_add(1);
            }
            return;
        }
        let cost = overhead(&load);
        // A set of one keeps its server whatever its thresholds say, as the kernel's does.
        if let Some(number) = number {
            let candidate = Candidate {
                place: place.wrapping_add(1),
                number,
                weight,
                cost,
            };
            let kept = &mut self.search.kept;
            let least = kept.least.place == 0 || is_less(&candidate, &kept.least);
            if (usable || !self.is_set) && least {
                kept.least = candidate;
                kept.active = active;
            }
            if kept.most.place == 0 || is_more(&candidate, &kept.most) {
                kept.most = candidate;
            }
        }
        let best = self.search.best == 0
            || self.search.cost.wrapping_mul(weight.into())
                > cost.wrapping_mul(self.search.weight.into());
        if usable && best {
            self.search.best = place.wrapping_add(1);
            self.search.weight = weight;
            self.search.cost = cost;
        }
    }
}

/// Returns whether the first one has less connections in relation to its weight; of equals the newer one.
#[inline(always)]
fn is_less(one: &Candidate, other: &Candidate) -> bool {
    let (one_cost, other_cost) = crossed(one, other);
    one_cost < other_cost || one_cost == other_cost && one.number < other.number
}

/// The same for more.
#[inline(always)]
fn is_more(one: &Candidate, other: &Candidate) -> bool {
    let (one_cost, other_cost) = crossed(one, other);
    one_cost > other_cost || one_cost == other_cost && one.number < other.number
}

#[inline(always)]
fn crossed(one: &Candidate, other: &Candidate) -> (u64, u64) {
    (
        one.cost.wrapping_mul(other.weight.into()),
        other.cost.wrapping_mul(one.weight.into()),
    )
}

impl<T: Tables> Step for Searcher<'_, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let place = self.plan.members.wrapping_add(turn);
        if let Some(member) = self.tables.member(place) {
            self.look_at(place, member);
        }
        true
    }
}
