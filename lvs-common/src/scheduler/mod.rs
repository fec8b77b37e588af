//! Schedulers: they pick the real server of a new connection.
//!
//! IPVS's schedulers differ mostly in the table that is laid out when a service changes; the daemon
//! does that. What remains for each new connection is one of the ways of [`Pick`].

mod contest;
mod locality;
mod measure;
mod tree;

use self::contest::{Contenders, contest};
pub use self::locality::LocalitySearch;
use self::measure::{Measure, Weighed, weigh};
use self::tree::TreeSearch;
use crate::abi::{Load, Member, Pick, Plan};
use crate::family::Family;
use crate::siphash;
use crate::tables::Tables;
pub use crate::tree_marks;
use crate::walk::Step;

/// Key of the hash by which Maglev places flows (`ip_vs_mh.c: IP_VS_MH_...`): fixed, so that all
/// directors agree.
pub const MAGLEV_KEY: [u64; 2] = [2_654_435_761; 2];

/// A slot that refers to no member.
pub const EMPTY_SLOT: u32 = 0xffff;

/// The parts of a flow that schedulers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Client's address, folded to one word (host order).
    pub source: u32,
    /// Virtual address, likewise.
    pub destination: u32,
    /// Client's port.
    pub port: u16,
    /// Hash of the whole flow.
    pub hash: u32,
}

/// No server's index.
pub const NO_SERVER: u32 = u32::MAX;

/// An address as one word: IPv6 is folded by exclusive or, as IPVS does.
#[inline(always)]
pub fn fold<F: Family>(address: F::Address) -> u32 {
    let [a, b, c, d]: [u32; 4] = zerocopy::transmute!(F::widen(address));
    u32::from_be(a ^ b ^ c ^ d)
}

/// Returns whether a server takes new connections, by weight and thresholds.
#[inline(always)]
pub fn usable<T: Tables>(tables: T, member: &Member) -> bool {
    member.weight != 0 && (member.upper == 0 || !overloaded(tables, member))
}

/// IPVS's hysteresis between the two thresholds.
#[inline(always)]
fn overloaded<T: Tables>(tables: T, member: &Member) -> bool {
    let load = tables.load(member.server);
    let total = u64::from(load.active()) + u64::from(load.inactive());
    let stays = if load.overloaded == 0 {
        total >= u64::from(member.upper)
    } else if member.lower != 0 {
        total >= u64::from(member.lower)
    } else {
        total * 4 >= u64::from(member.upper) * 3
    };
    if stays != (load.overloaded != 0) {
        tables.set_overloaded(member.server, stays);
    }
    stays
}

/// Notes that a server reaches its upper threshold by the connection it is about to get.
#[inline(always)]
pub fn note_threshold<T: Tables>(tables: T, member: &Member) {
    if member.upper == 0 {
        return;
    }
    let load = tables.load(member.server);
    if u64::from(load.active()) + u64::from(load.inactive()) + 1 >= u64::from(member.upper) {
        tables.set_overloaded(member.server, true);
        // The connection may come to nothing, but the best of a tree is another one from now on.
        tables.account(member.server, 0);
    }
}

/// Connections by IPVS's measure (`ip_vs_dest_conn_overhead`).
#[inline(always)]
fn overhead(load: &Load) -> u64 {
    (u64::from(load.active()) << 8) + u64::from(load.inactive())
}

/// State of a search for a server.
///
/// It lies in memory, not on the stack: what a verifier reads from memory it takes as unknown, instead
/// of following every combination of what the steps before may have found.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Index of a server that is picked only if there is no other; [`NO_SERVER`]: none.
    pub avoid: u32,
    /// Slot that a hash chose first: fallbacks start from there. Of two random slots: the turn that found the first.
    first: u32,
    /// Place of the best member so far, plus one; 0: none.
    best: u32,
    /// Place of the member to avoid, plus one; 0: not met.
    avoided: u32,
    /// Divisor of the best's cost: its weight, or 1. 0 as long as there is none: any other is better.
    weight: u32,
    /// Cost of the best.
    cost: u64,
    /// Kind of the contenders for the best, number of the first one, and how many they are.
    of: Contenders,
    first_contender: u32,
    contenders: u32,
    measure: Measure,
    tree: TreeSearch,
}

impl Search {
    /// A new one.
    #[inline(always)]
    pub const fn new(avoid: u32) -> Self {
        Self {
            avoid,
            first: 0,
            best: 0,
            avoided: 0,
            weight: 0,
            cost: 1,
            of: Contenders::Members,
            first_contender: 0,
            contenders: 0,
            measure: Measure::OVERHEAD,
            tree: TreeSearch::NONE,
        }
    }

    /// Makes it a new one. (What some schedulers alone need they make new themselves.)
    #[inline(always)]
    pub const fn restart(&mut self, avoid: u32) {
        self.avoid = avoid;
        (self.first, self.avoided) = (0, 0);
        self.forget_best();
    }

    /// Begins anew with other members.
    #[inline(always)]
    const fn forget_best(&mut self) {
        (self.best, self.weight, self.cost) = (0, 0, 1);
    }
}

/// Picks a server for a new connection: the member and its place in the table of members.
///
/// A hash knows one server only: where one is to be avoided, the search goes on as with the fallback
/// flag.
#[inline(always)]
pub fn pick<'a, T: Tables + 'a>(
    tables: T,
    plan: &'a Plan,
    flow: &Flow,
    search: &mut Search,
    locality: &mut LocalitySearch,
) -> Option<(u32, &'a Member)> {
    if matches!(
        Pick::from_raw(plan.pick),
        Pick::Locality | Pick::LocalitySet
    ) {
        let place = locality::pick(tables, plan, flow, search, locality)?;
        return Some((place, tables.member(place)?));
    }
    pick_unremembered(tables, plan, flow, search)
}

/// The same by the schedulers that remember nothing of a destination; none by the others.
#[inline(always)]
pub fn pick_unremembered<'a, T: Tables + 'a>(
    tables: T,
    plan: &'a Plan,
    flow: &Flow,
    search: &mut Search,
) -> Option<(u32, &'a Member)> {
    let pick = Pick::from_raw(plan.pick);
    if pick.is_best() {
        let place = best(tables, plan, search)?;
        return Some((place, tables.member(place)?));
    }
    let (method, count) = match pick {
        Pick::Rotate => (Method::Rotate, plan.slot_count),
        Pick::TwoRandom => {
            search.measure = Measure::OVERHEAD;
            (Method::TwoRandom, plan.slot_count.saturating_mul(2))
        }
        Pick::SourceHash => (Method::Source, plan.slot_count),
        Pick::DestinationHash => (Method::Destination, plan.slot_count),
        Pick::Maglev => (Method::Maglev, plan.slot_count),
        Pick::Nothing
        | Pick::Locality
        | Pick::LocalitySet
        | Pick::Least
        | Pick::WeightedLeast
        | Pick::ShortestDelay
        | Pick::NeverQueue
        | Pick::Failover
        | Pick::Overflow => return None,
    };
    walk(tables, plan, flow, search, method, count)
}

/// The place of the best member, or of the one to avoid if there is no other.
#[inline(always)]
fn best<T: Tables>(tables: T, plan: &Plan, search: &mut Search) -> Option<u32> {
    best_counted(tables, plan, search).checked_sub(1)
}

/// The same plus one; 0: there is none. (It fits a register.)
#[inline(never)]
fn best_counted<T: Tables>(tables: T, plan: &Plan, search: &mut Search) -> u32 {
    search.measure = Measure::of(Pick::from_raw(plan.pick));
    // A tree knows the best only: not where that is to be avoided.
    if plan.slots != 0 && search.avoid == NO_SERVER {
        let (first, branches) = tree::refresh(tables, plan, search);
        contest(tables, search, Contenders::Nodes, first, branches);
    } else {
        contest(
            tables,
            search,
            Contenders::Members,
            plan.members,
            plan.member_count,
        );
    }
    if search.best == 0 {
        search.avoided
    } else {
        search.best
    }
}

/// A server that was picked at once.
#[derive(Clone, Copy, Debug)]
pub struct FastPick<'a> {
    /// The server's part in the plan.
    pub member: &'a Member,
    /// Service and ticket, if that decided.
    ticket: Option<(u32, u32)>,
}

impl FastPick<'_> {
    /// Undoes the pick: the next connection gets the same server.
    #[inline(always)]
    pub fn undo<T: Tables>(&self, tables: T) {
        undo(tables, self.ticket);
    }
}

/// The server that [`pick`] picks, if that takes no long search: it is the best, or the one that a table names, and
/// neither weight nor threshold keep it from getting a connection.
#[inline(always)]
pub fn pick_fast<'a, T: Tables + 'a>(
    tables: T,
    plan: &'a Plan,
    flow: &Flow,
    search: &mut Search,
) -> Option<FastPick<'a>> {
    let pick = Pick::from_raw(plan.pick);
    let mut ticket = None;
    let place = if pick.is_best() {
        search.restart(NO_SERVER);
        best(tables, plan, search)
    } else {
        if plan.slot_count == 0 {
            return None;
        }
        let number = match pick {
            Pick::Rotate => {
                let drawn = tables.ticket(plan.service);
                ticket = Some((plan.service, drawn));
                drawn
            }
            Pick::SourceHash => bucket(key(plan, flow)),
            Pick::DestinationHash => bucket(flow.destination),
            Pick::Maglev => siphash::hash(key(plan, flow), MAGLEV_KEY),
            _ => return None,
        };
        in_slot(tables, plan, number % plan.slot_count)
    };
    let member = place
        .and_then(|place| tables.member(place))
        .filter(|member| member.weight != 0 && member.upper == 0);
    if member.is_none() {
        undo(tables, ticket);
    }
    Some(FastPick {
        member: member?,
        ticket,
    })
}

/// Puts a service's ticket back.
#[inline(always)]
fn undo<T: Tables>(tables: T, ticket: Option<(u32, u32)>) {
    if let Some((service, ticket)) = ticket {
        tables.return_ticket(service, ticket);
    }
}

/// The place of a slot's member in the table of members.
#[inline(always)]
fn in_slot<T: Tables>(tables: T, plan: &Plan, slot: u32) -> Option<u32> {
    let position = tables.slot(plan.slots.wrapping_add(slot))?;
    if position == EMPTY_SLOT {
        return None;
    }
    Some(plan.members.wrapping_add(position))
}

/// The word that a hash of the source is taken of.
#[inline(always)]
fn key(plan: &Plan, flow: &Flow) -> u32 {
    let port = if plan.flags & Plan::FLAG_2 != 0 {
        flow.port
    } else {
        0
    };
    flow.source.wrapping_add(u32::from(port))
}

/// Picks a server by the flow alone, the same one for every packet while the plan is in force.
/// `None` also where the scheduler counts connections, which it could not do here.
#[inline(always)]
pub fn pick_stateless<'a, T: Tables + 'a>(
    tables: T,
    plan: &'a Plan,
    flow: &Flow,
    search: &mut Search,
) -> Option<(u32, &'a Member)> {
    search.restart(NO_SERVER);
    match Pick::from_raw(plan.pick) {
        Pick::SourceHash | Pick::DestinationHash | Pick::Maglev => {
            pick_unremembered(tables, plan, flow, search)
        }
        _ => walk(tables, plan, flow, search, Method::Flow, plan.member_count),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Rotate,
    TwoRandom,
    Source,
    Destination,
    Maglev,
    Flow,
}

#[inline(always)]
fn walk<'a, T: Tables + 'a>(
    tables: T,
    plan: &'a Plan,
    flow: &Flow,
    search: &mut Search,
    method: Method,
    count: u32,
) -> Option<(u32, &'a Member)> {
    tables.walk(
        count,
        &mut Searcher {
            tables,
            plan,
            flow: *flow,
            method,
            search,
        },
    );
    // The verifier forgets what a pointer that went through the walk points to: ask for it again.
    let best = if search.best == 0 {
        search.avoided
    } else {
        search.best
    };
    let place = best.checked_sub(1)?;
    Some((place, tables.member(place)?))
}

/// The walk over slots or members until a usable one (or, by a measure, the best) is found.
#[repr(C, align(8))]
struct Searcher<'a, T> {
    tables: T,
    plan: &'a Plan,
    flow: Flow,
    method: Method,
    search: &'a mut Search,
}

impl<'a, T: Tables + 'a> Searcher<'a, T> {
    /// Accepts the member at that place if it is usable; returns whether to go on otherwise.
    #[inline(always)]
    fn accept(&mut self, place: Option<u32>, go_on: bool) -> bool {
        let found = place.and_then(|place| Some((place, self.tables.member(place)?)));
        match found {
            Some((place, member)) if usable(self.tables, member) => {
                if member.server == self.search.avoid {
                    self.search.avoided = place.wrapping_add(1);
                    return true;
                }
                self.search.best = place.wrapping_add(1);
                false
            }
            Some(_) => go_on,
            None => false,
        }
    }

    /// A hash scheduler's slot: the flow's own, then with the fallback flag others, by IPVS's
    /// sequence of offsets.
    #[inline(always)]
    fn by_hash(&mut self, turn: u32, size: u32, hash: impl Fn(u32) -> u32) -> bool {
        let fallback = self.plan.flags & Plan::FLAG_1 != 0 || self.search.avoid != NO_SERVER;
        let slot = if turn == 0 {
            self.search.first = hash(0);
            self.search.first
        } else {
            hash((turn - 1 + self.search.first) % size.max(1))
        };
        let member = in_slot(self.tables, self.plan, slot);
        self.accept(member, fallback)
    }

    /// The better of the members of two slots, each the first usable one from a random slot on
    /// (`ip_vs_twos_schedule`). The slots are those of wrr: as many for each member as it weighs.
    #[inline(always)]
    fn by_two_draws(&mut self, turn: u32, size: u32) -> bool {
        let second = self.search.best != 0;
        let slot = if second {
            // The flow's hash, mixed: its bits are all that is random here.
            let draw = self.flow.hash.wrapping_mul(0x9e37_79b1).rotate_left(16);
            (draw % size).wrapping_add(turn.wrapping_sub(self.search.first))
        } else {
            self.search.first = turn.wrapping_add(1);
            (self.flow.hash % size).wrapping_add(turn)
        };
        let weighed = match in_slot(self.tables, self.plan, slot % size) {
            Some(place) => weigh(self.tables, self.search, place),
            None => Weighed::Skipped,
        };
        !second || weighed == Weighed::Skipped
    }
}

impl<'a, T: Tables + 'a> Step for Searcher<'a, T> {
    #[inline(always)]
    fn step(&mut self, turn: u32) -> bool {
        let size = self.plan.slot_count.max(1);
        match self.method {
            Method::Rotate => {
                let slot = self.tables.ticket(self.plan.service) % size;
                let member = in_slot(self.tables, self.plan, slot);
                self.accept(member, true)
            }
            Method::TwoRandom => self.by_two_draws(turn, size),
            Method::Source => {
                let key = key(self.plan, &self.flow);
                self.by_hash(turn, size, |offset| offset.wrapping_add(bucket(key)) % size)
            }
            Method::Destination => {
                let slot = bucket(self.flow.destination).wrapping_add(turn) % size;
                let member = in_slot(self.tables, self.plan, slot);
                self.accept(member, self.search.avoid != NO_SERVER)
            }
            Method::Maglev => {
                let key = key(self.plan, &self.flow);
                self.by_hash(turn, size, |offset| {
                    siphash::hash(key.wrapping_add(offset), MAGLEV_KEY) % size
                })
            }
            Method::Flow => {
                let count = self.plan.member_count.max(1);
                let place = (self.flow.hash % count).wrapping_add(turn) % count;
                self.accept(Some(self.plan.members.wrapping_add(place)), true)
            }
        }
    }
}

/// Bucket of 256 (`hash_32` of the kernel).
#[inline(always)]
const fn bucket(word: u32) -> u32 {
    word.wrapping_mul(0x61c8_8647) >> 24
}
