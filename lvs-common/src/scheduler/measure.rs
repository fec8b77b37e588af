//! The measure of the schedulers that look for the best server.

use super::{Search, usable};
use crate::abi::Pick;
use crate::tables::Tables;

/// How a scheduler weighs servers: their cost in relation to their weight, of which the least is best.
///
/// It lies in memory, for which a verifier follows one way for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// One bit of the constants below.
    kind: u32,
    /// Bits of all weights: 1 where they do not count beside those that are 0.
    even: u32,
}

/// Connections by IPVS's measure (`ip_vs_dest_conn_overhead`).
const OVERHEAD: u32 = 1;

/// Active connections, with the one to come (`ip_vs_sed_dest_overhead`).
const DELAY: u32 = 2;

/// The same, but the first server without active connections is the best.
const IDLE_FIRST: u32 = 4;

/// The heaviest.
const WEIGHT: u32 = 8;

/// The same, of those with no more active connections than their weight.
const WEIGHT_WITH_ROOM: u32 = 16;

impl Measure {
    /// That of wlc.
    pub(super) const OVERHEAD: Self = Self {
        kind: OVERHEAD,
        even: 0,
    };

    /// The measure of a scheduler.
    #[inline(always)]
    pub(super) const fn of(pick: Pick) -> Self {
        let kind = match pick {
            Pick::ShortestDelay => DELAY,
            Pick::NeverQueue => IDLE_FIRST,
            Pick::Failover => WEIGHT,
            Pick::Overflow => WEIGHT_WITH_ROOM,
            _ => OVERHEAD,
        };
        Self {
            kind,
            even: matches!(pick, Pick::Least) as u32,
        }
    }
}

/// The result of the comparison of a member with the best so far.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weighed {
    /// It can get no connection.
    Skipped,
    /// It was compared.
    Seen,
    /// None can be better.
    Best,
}

/// Notes a usable member if it is better than the best so far, by cross multiplication: of equals the first one stays.
#[inline(always)]
pub(super) fn weigh<T: Tables>(tables: T, search: &mut Search, place: u32) -> Weighed {
    let Some(member) = tables.member(place) else {
        return Weighed::Skipped;
    };
    if !usable(tables, member) {
        return Weighed::Skipped;
    }
    if member.server == search.avoid {
        search.avoided = place.wrapping_add(1);
        return Weighed::Skipped;
    }
    let load = tables.load(member.server);
    let (active, inactive) = (u64::from(load.active()), u64::from(load.inactive()));
    let mut cost = (active << 8).wrapping_add(inactive);
    let measure = search.measure;
    let weight = if measure.even == 0 { member.weight } else { 1 };
    if measure.kind != OVERHEAD {
        if measure.kind == WEIGHT_WITH_ROOM && active > u64::from(weight) {
            return Weighed::Skipped;
        }
        if measure.kind == IDLE_FIRST && active == 0 {
            search.best = place.wrapping_add(1);
            return Weighed::Best;
        }
        cost = if measure.kind < WEIGHT { active + 1 } else { 1 };
    }
    if search.cost.wrapping_mul(u64::from(weight)) > cost.wrapping_mul(u64::from(search.weight)) {
        search.best = place.wrapping_add(1);
        search.weight = weight;
        search.cost = cost;
    }
    Weighed::Seen
}
