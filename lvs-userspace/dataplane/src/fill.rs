//! The fill of a connection table, and the services whose entries fill it.
//!
//! From [`TIGHT`] percent on a service that holds more than [`SHARE`] percent of the table, while others have to live
//! beside it, holds more than its share: the program gives it no more ways than it has ([`Crowd`]). So others still
//! find room where none of its connections may be recycled: both sets of a key are full once in 70 at that fill, once
//! in 18 at ten percent more. A table is *filling* then, and from [`HIGH`] percent on: the operator is told, and who
//! fills it.

use std::collections::HashMap;
use std::mem::offset_of;
use std::net::IpAddr;

use lvs_common::abi::{Address, Config, Crowd, ticks};
use lvs_common::connection::Kind;
use lvs_common::connection::template::network;
use lvs_common::family::{Family, V4};

use crate::address::narrow;
use crate::kernel::{EntryMapping, Maps};

/// Percent of its ways in use from which on a table is filling.
const HIGH: u64 = 80;
/// Percent of its ways in use from which on it is filling no more.
const LOW: u64 = 75;
/// Percent of its ways in use from which on services keep to their share.
const TIGHT: u64 = 60;
/// Percent of its ways in use below which they need not any more.
const ROOMY: u64 = 55;
/// Percent of a table that one service may hold while others need room.
const SHARE: u64 = 50;
/// Percent below which one that held more is given ways again.
const ENOUGH: u64 = 45;

/// Ticks between two reports that the same table is filling, while it goes on.
const AGAIN: u32 = ticks(600);
/// Ticks between two reports at least, however often it begins anew.
const SELDOM: u32 = ticks(60);

/// News about a table for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It is filling.
    Filling,
    /// It was, and is no more.
    Relieved,
}

/// Follows how full one table is.
#[derive(Clone, Debug, Default)]
pub struct Fill {
    filling: bool,
    tight: bool,
    /// The service that holds more than its share.
    crowd: Option<u32>,
    /// The tick of the last report that it is filling.
    said: Option<u32>,
    /// That report was not followed by one that it is filling no more.
    open: bool,
}

impl Fill {
    /// The service that holds more than its share, by its index.
    pub const fn crowd(&self) -> Option<u32> {
        self.crowd
    }

    /// Takes the number of entries that a sweep met in a table of so many ways, all together and by service.
    /// `others` says whether any service is there beside one.
    pub fn follow(
        &mut self,
        entries: u64,
        capacity: u32,
        holdings: &[u32],
        others: impl Fn(u32) -> bool,
        now: u32,
    ) -> Option<Report> {
        let capacity = u64::from(capacity);
        let reaches = |entries: u64, percent| capacity > 0 && entries * 100 >= capacity * percent;
        self.tight = reaches(entries, if self.tight { ROOMY } else { TIGHT });
        let largest = (0..).zip(holdings).max_by_key(|(_, held)| **held);
        self.crowd = largest
            .filter(|(service, held)| {
                let percent = if self.crowd == Some(*service) {
                    ENOUGH
                } else {
                    SHARE
                };
                self.tight && reaches(u64::from(**held), percent) && others(*service)
            })
            .map(|(service, _)| service);
        self.filling = reaches(entries, if self.filling { LOW } else { HIGH });
        let told = self.filling || self.crowd.is_some();
        let since = self.said.map(|said| now.wrapping_sub(said));
        if told {
            let pause = if self.open { AGAIN } else { SELDOM };
            if since.is_some_and(|since| since < pause) {
                return None;
            }
            self.said = Some(now);
            self.open = true;
            return Some(Report::Filling);
        }
        std::mem::take(&mut self.open).then_some(Report::Relieved)
    }
}

/// Tells the program which service holds more than its share of the table of a family: again at least every few
/// seconds, because what a daemon said that is gone holds no longer.
pub fn confine<F: Family>(maps: &Maps, crowd: Option<u32>, now: u32) {
    let table = usize::from(F::NUMBER != V4::NUMBER);
    let offset = offset_of!(Config, crowds) + table * size_of::<Crowd>();
    let words = [
        (offset_of!(Crowd, said), now),
        (
            offset_of!(Crowd, service),
            crowd.map_or(0, |service| service + 1),
        ),
    ];
    for (field, value) in words {
        if let Some(word) = maps.config.word(0, offset + field) {
            word.store(value, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// Returns whether there is a service beside this one.
pub fn has_others(maps: &Maps, service: u32) -> bool {
    (0..maps.active_plans.len()).any(|index| {
        index != service && maps.active_plans.read(index).is_some_and(|plan| plan != 0)
    })
}

/// A client network and its percentage of the clients of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientShare {
    /// Network address.
    pub network: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// Its part of all connections, in percent.
    pub percent: u32,
}

/// Connections that are looked at to find out whose they are.
const SAMPLED: u32 = 1 << 16;

/// The client networks with most connections of a table, the largest first, of those that have a percent at least:
/// networks of 24 bits, of IPv6 48. A sample of the table tells.
pub fn top_clients<F: Family>(table: &EntryMapping<F>, most: usize) -> Vec<ClientShare> {
    let prefix = if F::NUMBER == V4::NUMBER { 24 } else { 48 };
    let mut networks: HashMap<Address, u32> = HashMap::new();
    let mut all = 0_u32;
    // An odd stride meets every way of the sets.
    let stride = (table.len() / SAMPLED) | 1;
    for way in (0..table.len()).step_by(stride as usize) {
        let Some((_, entry)) = table.read_live(way) else {
            continue;
        };
        if Kind::from_raw(entry.key.kind) == Kind::Request {
            let network = network::<F>(entry.key.source, prefix);
            *networks.entry(F::widen(network)).or_default() += 1;
            all += 1;
        }
    }
    let mut shares: Vec<_> = networks
        .into_iter()
        .map(|(network, count)| (count, network))
        .filter(|(count, _)| *count > 1 && count * 100 >= all)
        .map(|(count, network)| ClientShare {
            network: narrow(&network, F::NUMBER),
            prefix,
            percent: count * 100 / all.max(1),
        })
        .collect();
    shares.sort_by_key(|share| (std::cmp::Reverse(share.percent), share.network));
    shares.truncate(most);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u32 = 1_000;

    /// Follows a table of a thousand ways of which two services hold so many each.
    fn follow(fill: &mut Fill, held: [u32; 2], now: u32) -> Option<Report> {
        let entries = held.iter().copied().map(u64::from).sum();
        fill.follow(entries, CAPACITY, &held, |_| true, now)
    }

    #[test]
    fn a_table_is_filling_from_80_percent_on_until_it_is_below_75() {
        let mut fill = Fill::default();
        assert_eq!(follow(&mut fill, [400, 399], 0), None);
        assert_eq!(follow(&mut fill, [400, 400], 1), Some(Report::Filling));
        assert_eq!(follow(&mut fill, [400, 350], 2), None);
        assert_eq!(follow(&mut fill, [400, 349], 3), Some(Report::Relieved));
        assert_eq!(follow(&mut fill, [400, 349], 4), None);
    }

    #[test]
    fn reports_are_rare_however_often_the_table_fills() {
        let mut fill = Fill::default();
        let mut reports = 0;
        for second in 0..3_600 {
            let held = if second % 2 == 0 { 900 } else { 100 };
            let report = follow(&mut fill, [held, 0], ticks(second));
            reports += u32::from(report == Some(Report::Filling));
        }
        assert!((50..=60).contains(&reports), "{reports} in an hour");
        let mut steady = Fill::default();
        let reports =
            (0..3_600).filter(|&second| follow(&mut steady, [900, 0], ticks(second)).is_some());
        assert_eq!(reports.count(), 6);
    }

    #[test]
    fn a_service_holds_more_than_its_share_while_room_is_short_and_others_are_there() {
        let mut fill = Fill::default();
        assert_eq!(follow(&mut fill, [540, 59], 0), None);
        assert_eq!(fill.crowd(), None, "there is room");
        follow(&mut fill, [350, 410], 0);
        assert_eq!(fill.crowd(), None, "none has more than half");
        assert_eq!(follow(&mut fill, [99, 501], 0), Some(Report::Filling));
        assert_eq!(fill.crowd(), Some(1));
        follow(&mut fill, [300, 460], 0);
        assert_eq!(fill.crowd(), Some(1), "it had more a moment ago");
        follow(&mut fill, [320, 440], 0);
        assert_eq!(fill.crowd(), None);
        fill.follow(900, CAPACITY, &[0, 900], |_| false, 0);
        assert_eq!(fill.crowd(), None, "it is alone");
    }

    #[test]
    fn an_absent_table_is_never_filling() {
        let mut fill = Fill::default();
        assert_eq!(fill.follow(0, 0, &[], |_| true, 0), None);
        assert_eq!(fill.crowd(), None);
    }
}
