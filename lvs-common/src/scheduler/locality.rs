//! lblc and lblcr: connections to a destination stay with a server, or with a set of them, while it is not overloaded
//! and another one idle. For clusters of caches, whose destinations are many; a virtual address is one.

use super::{Flow, NO_SERVER, Search, overhead, usable};
use crate::abi::{Locality, LocalityKey, Member, Pick, Plan, age, ticks};
use crate::tables::Tables;
use crate::walk::Step;

/// A destination is forgotten, or its set loses a server, after so many seconds (`lblc_expiration`,
/// `lblcr_expiration`).
const EXPIRATION: u32 = 24 * 60 * 60;

/// State of the search beside that of wlc, which [`Search`] has; in memory for the same reason.
#[derive(Clone, Copy, Debug)]
pub struct LocalitySearch {
    /// The destination's servers.
    locality: Locality,
    /// The least loaded of them.
    least: Candidate,
    /// The most loaded of them.
    most: Candidate,
    /// Established connections of the least loaded.
    active: u32,
    /// Not 0: a server has less than half as many established connections as it weighs.
    spare: u32,
    /// Bits of the destination's servers that the service still has.
    known: u32,
    /// Number of the server at hand among them; [`NONE`]: it is none of them.
    number: u32,
}

/// No number of a server.
const NONE: u32 = u32::MAX;

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

impl LocalitySearch {
    /// A new one.
    pub const fn new() -> Self {
        Self {
            locality: Locality {
                servers: [NO_SERVER; Locality::SERVERS],
                used: 0,
                changed: 0,
            },
            least: Candidate::NONE,
            most: Candidate::NONE,
            active: 0,
            spare: 0,
            known: 0,
            number: NONE,
        }
    }
}

impl Default for LocalitySearch {
    fn default() -> Self {
        Self::new()
    }
}

/// Picks a server: the place of its member.
#[inline(never)]
pub(super) fn pick<T: Tables>(
    tables: T,
    plan: &Plan,
    flow: &Flow,
    search: &mut Search,
    found: &mut LocalitySearch,
) -> Option<u32> {
    let now = tables.now();
    let key = LocalityKey {
        service: plan.service,
        destination: flow.destination,
    };
    *found = LocalitySearch::new();
    let locality = &mut found.locality;
    (locality.used, locality.changed) = (now, now);
    if let Some(known) = tables.locality(&key)
        && age(now, known.used) <= ticks(EXPIRATION)
    {
        *locality = known;
    }
    let is_set = plan.pick == Pick::LocalitySet as u8;
    tables.walk(
        plan.member_count,
        &mut Searcher {
            tables,
            plan,
            search,
            found,
        },
    );
    let overloaded = found.active > found.least.weight && found.spare != 0;
    let stays = found.least.place != 0 && !overloaded;
    let place = if stays {
        found.least.place
    } else if search.best != 0 {
        search.best
    } else {
        search.avoided
    };
    let place = place.checked_sub(1)?;
    let locality = &mut found.locality;
    let shrinks =
        found.least.number != found.most.number && age(now, locality.changed) > ticks(EXPIRATION);
    if is_set && shrinks {
        forget(locality, !(1 << (found.most.number & 31)));
        locality.changed = now;
    }
    tables.fence();
    if !stays {
        // A server that is deleted keeps its place for its return, as the kernel's, while there is room.
        if is_set && !locality.servers.contains(&NO_SERVER) {
            forget(locality, found.known);
        }
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
    if !is_set {
        locality.servers = [NO_SERVER; Locality::SERVERS];
    }
    if locality.servers.contains(&new) {
        return;
    }
    let mut carried = new;
    for server in &mut locality.servers {
        core::mem::swap(server, &mut carried);
        if carried == NO_SERVER {
            return;
        }
    }
}

/// The walk over all members.
#[repr(C, align(8))]
struct Searcher<'a, T> {
    tables: T,
    plan: &'a Plan,
    search: &'a mut Search,
    found: &'a mut LocalitySearch,
}

impl<T: Tables> Searcher<'_, T> {
    /// Leaves the server's number among those of the destination in the search.
    #[inline(always)]
    fn find(&mut self, server: u32) {
        let found = &mut *self.found;
        found.number = NONE;
        for (number, known) in (0..).zip(&found.locality.servers) {
            if *known == server {
                found.number = number;
            }
        }
        self.tables.fence();
    }

    #[inline(always)]
    fn look_at(&mut self, place: u32, member: &Member) {
        let tables = self.tables;
        self.find(member.server);
        let load = tables.load(member.server);
        let (active, weight) = (load.active(), member.weight);
        let found = &mut *self.found;
        if active.saturating_mul(2) < weight {
            found.spare = 1;
        }
        let number = found.number;
        if number != NONE {
            found.known |= 1 << (number & 31);
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
        // A single server is kept whatever its thresholds say, as the kernel's lblc does.
        if number != NONE {
            let candidate = Candidate {
                place: place.wrapping_add(1),
                number,
                weight,
                cost,
            };
            let alone = self.plan.pick == Pick::Locality as u8;
            if (usable || alone) && (found.least.place == 0 || is_less(&candidate, &found.least)) {
                found.least = candidate;
                found.active = active;
            }
            if found.most.place == 0 || is_more(&candidate, &found.most) {
                found.most = candidate;
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
