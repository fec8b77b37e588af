//! Entries that a master sends again because time goes by, as IPVS's does with `sync_refresh_period` and
//! `sync_retries`: a connection that goes on must not time out at a backup.

use std::time::Duration;

use lvs_common::abi::{TICK_NANOS, age, ticks};
use lvs_common::connection::{EntryId, Tag};
use lvs_common::family::PerFamily;

use crate::entries::Entries;

/// Turns in which all of the tables are looked at once.
const TURNS: u32 = 50;
/// Half of a short timeout counts as this.
const SHORTEST: u32 = ticks(10);

/// When an entry is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshOptions {
    /// When a connection's last packet is so much later than when it was sent, or half its timeout later if
    /// that is less (but ten seconds at least); zero: never.
    pub period: Duration,
    /// Number of times that it is repeated, an eighth of the period apart, in case a message was lost.
    pub retries: u8,
}

impl RefreshOptions {
    /// IPVS's default: nothing is sent again but by the number of packets.
    pub const OFF: Self = Self {
        period: Duration::ZERO,
        retries: 0,
    };
}

/// The last time an entry was sent. All zero: never.
#[derive(Clone, Copy, Debug, Default)]
struct LastSent {
    tag: Tag,
    /// The tick of its last packet at that time.
    seen: u32,
    at: u32,
    retries: u8,
}

/// Finds entries that are to be sent again.
#[derive(Debug)]
pub(super) struct Refresher {
    /// In ticks.
    period: u32,
    retries: u8,
    sent: PerFamily<Vec<LastSent>>,
    sizes: PerFamily<u32>,
    /// The next place to look at in both tables.
    place: u32,
}

impl Refresher {
    /// For tables of so many entries; `None`: nothing is sent again.
    pub(super) fn new(options: RefreshOptions, sizes: PerFamily<u32>) -> Option<Self> {
        let period = options.period.as_nanos() / u128::from(TICK_NANOS);
        (period > 0).then(|| Self {
            period: u32::try_from(period).unwrap_or(u32::MAX),
            retries: options.retries,
            sent: sizes.map(|size| vec![LastSent::default(); size as usize]),
            sizes,
            place: 0,
        })
    }

    /// Notes that an entry was sent whose last packet was at the tick `seen`.
    pub(super) fn note_sent(&mut self, id: EntryId, tag: Tag, seen: u32, now: u32) {
        let sent = self.sent.of_mut(id.family());
        if let Some(sent) = sent.get_mut(id.index() as usize) {
            *sent = LastSent {
                tag,
                seen,
                at: now,
                retries: 0,
            };
        }
    }

    /// One turn: entries that are sent again now, at most so many.
    pub(super) fn due(&mut self, entries: Entries<'_>, most: usize, now: u32) -> Vec<EntryId> {
        let all = self.sizes.v4.saturating_add(self.sizes.v6);
        let stop = self.place.saturating_add(all.div_ceil(TURNS));
        let mut due = Vec::new();
        while self.place < stop && due.len() < most {
            let Some(id) = EntryId::at(self.place, self.sizes) else {
                break;
            };
            if self.is_due(entries, id, now) {
                due.push(id);
            }
            self.place += 1;
        }
        if self.place >= all {
            self.place = 0;
        }
        due
    }

    fn is_due(&mut self, entries: Entries<'_>, id: EntryId, now: u32) -> bool {
        let sent = self.sent.of_mut(id.family());
        let sent = sent.get_mut(id.index() as usize);
        let Some(sent) = sent.filter(|sent| sent.tag.is_live()) else {
            return false;
        };
        let tag = entries.tag(id);
        if tag.is_none_or(|tag| !tag.is_live() || !tag.same_connection(sent.tag)) {
            *sent = LastSent::default();
            return false;
        }
        // Replicas are their own director's to send again: two that sent each other's would keep a connection
        // alive that nobody has any more.
        if entries.packets(id).is_none_or(|packets| packets == 0) {
            return false;
        }
        let (Some(seen), Some(timeout)) = (entries.seen(id), entries.timeout(id)) else {
            return false;
        };
        if age(seen, sent.seen) >= self.period.min((timeout / 2).max(SHORTEST)) {
            sent.retries = 0;
        } else if sent.retries < self.retries && age(now, sent.at) >= self.period / 8 {
            sent.retries += 1;
        } else {
            return false;
        }
        (sent.seen, sent.at) = (seen, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::abi::Method;
    use lvs_common::connection::table::{self, New, Place, Store as _, Survey};
    use lvs_common::connection::{Client, Key, Kind, Ports, Record};
    use lvs_common::family::{V4, V6};
    use lvs_dataplane::kernel::{EntryMapping, ServerLoads};
    use lvs_dataplane::table::Table;

    use super::*;

    const SIZES: PerFamily<u32> = PerFamily { v4: 16, v6: 8 };

    struct World {
        entries4: EntryMapping<V4>,
        entries6: EntryMapping<V6>,
        refresher: Refresher,
        id: EntryId,
        now: u32,
    }

    impl World {
        /// A connection that was sent a moment ago.
        fn new(period: u64, retries: u8) -> Self {
            let entries4 = EntryMapping::zeroed(SIZES.v4);
            let period = Duration::from_secs(period);
            let options = RefreshOptions { period, retries };
            let mut refresher = Refresher::new(options, SIZES).unwrap();
            let now = u32::MAX - ticks(3);
            let loads = ServerLoads::zeroed(4);
            let table = Table::new(&entries4, &loads);
            let key = Key::<V4> {
                source: [198, 51, 100, 1],
                destination: [192, 0, 2, 1],
                ports: Ports::default(),
                protocol: 6,
                kind: Kind::Request as u8,
            };
            let mut new = New {
                key,
                record: Record::new(1, 1, Method::Nat, false),
                client: Client::default(),
                partner: 0,
                state: 1,
                half_open: false,
                pinned: false,
                now,
                timeout: ticks(900),
                survey: Survey::default(),
            };
            let place = Place::of(key.hash(&[7_u64; 16]), table.sets());
            let inserted = table::insert(table, place, &mut new).unwrap();
            let id = EntryId::new::<V4>(inserted.number);
            refresher.note_sent(id, inserted.tag, now, now);
            let world = Self {
                entries4,
                entries6: EntryMapping::zeroed(SIZES.v6),
                refresher,
                id,
                now,
            };
            world.entries().set_packets(id, 3);
            world
        }

        fn entries(&self) -> Entries<'_> {
            Entries {
                v4: &self.entries4,
                v6: &self.entries6,
            }
        }

        /// Seconds go by, at the end of which there is a packet, or none. Whether it is sent again.
        fn after(&mut self, seconds: u32, packet: bool) -> bool {
            self.now = self.now.wrapping_add(ticks(seconds));
            if packet {
                self.entries().set_seen(self.id, self.now);
            }
            let entries = Entries {
                v4: &self.entries4,
                v6: &self.entries6,
            };
            let turns = (0..TURNS).flat_map(|_| self.refresher.due(entries, 9, self.now));
            let due: Vec<_> = turns.collect();
            assert!(due.len() <= 1 && due.iter().all(|id| *id == self.id));
            !due.is_empty()
        }
    }

    #[test]
    fn a_connection_that_goes_on_is_sent_again_after_the_period() {
        let mut world = World::new(30, 0);
        assert!(!world.after(20, true));
        assert!(world.after(11, true));
        assert!(!world.after(29, true));
        assert!(!world.after(100, false), "nothing happens");
        assert!(world.after(1, true));
    }

    #[test]
    fn an_entry_is_repeated_as_often_as_the_retries_say() {
        let mut world = World::new(80, 2);
        assert!(!world.after(9, false));
        assert!(world.after(2, false));
        assert!(world.after(11, false));
        assert!(!world.after(11, false), "twice is enough");
        assert!(world.after(60, true));
        assert!(world.after(11, false), "and again");
    }

    #[test]
    fn a_replica_is_not_sent_again() {
        let mut world = World::new(30, 3);
        world.entries().set_packets(world.id, 0);
        assert!(!world.after(31, true));
        assert!(!world.after(31, true));
        world.entries().set_packets(world.id, 1);
        assert!(world.after(1, true));
    }

    #[test]
    fn an_entry_that_is_gone_or_was_never_sent_is_not_sent_again() {
        let mut world = World::new(1, 3);
        world.entries4.store(world.id.index(), 0, 0);
        assert!(!world.after(10, true));
        assert!(Refresher::new(RefreshOptions::OFF, SIZES).is_none());
    }
}
