//! What a master tells again because time goes by, as IPVS's does with `sync_refresh_period` and
//! `sync_retries`: a connection that goes on must not time out at a backup.

use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lvs_common::abi::{EVENT_IPV6, TICK_NANOS, age, event, ticks};
use lvs_common::connection::{Entry, Tag};
use lvs_common::family::{Family, V4, V6};

use lvs_dataplane::kernel::{Entries, Maps};

/// Turns in which all of the tables are looked at once.
const TURNS: usize = 50;
/// Half of a short timeout counts as this.
const SHORTEST: u32 = ticks(10);

/// When something is told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshing {
    /// When a connection's last packet is so much later than when it was told, or half its timeout later if
    /// that is less (but ten seconds at least); zero: never.
    pub period: Duration,
    /// So many times more, an eighth of the period apart, in case a message was lost.
    pub retries: u8,
}

impl Refreshing {
    /// IPVS's default: nothing is told again but by the number of packets.
    pub const OFF: Self = Self {
        period: Duration::ZERO,
        retries: 0,
    };
}

/// What was told of a way, and when. All zero: nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    tag: Tag,
    /// The tick of its last packet at that time.
    seen: u32,
    told: u32,
    retries: u8,
}

/// Finds what is to be told again.
#[derive(Debug)]
pub(super) struct Refresh {
    /// In ticks.
    period: u32,
    retries: u8,
    marks4: Vec<Mark>,
    marks6: Vec<Mark>,
    /// The next way to look at, both tables one after the other.
    place: usize,
}

impl Refresh {
    /// For tables of so many entries; `None`: nothing is told again.
    pub(super) fn new(refreshing: Refreshing, ways: [u32; 2]) -> Option<Self> {
        let period = refreshing.period.as_nanos() / u128::from(TICK_NANOS);
        let [marks4, marks6] = ways.map(|ways| ways as usize);
        (period > 0).then(|| Self {
            period: u32::try_from(period).unwrap_or(u32::MAX),
            retries: refreshing.retries,
            marks4: vec![Mark::default(); marks4],
            marks6: vec![Mark::default(); marks6],
            place: 0,
        })
    }

    /// A connection was told that had its last packet at the tick `seen`.
    pub(super) fn is_told(&mut self, number: u32, tag: Tag, seen: u32, now: u32) {
        let marks = match number & EVENT_IPV6 {
            0 => &mut self.marks4,
            _ => &mut self.marks6,
        };
        let way = (number & !EVENT_IPV6).wrapping_sub(1) as usize;
        if let Some(mark) = marks.get_mut(way) {
            *mark = Mark {
                tag,
                seen,
                told: now,
                retries: 0,
            };
        }
    }

    /// One turn's look: connections, as events, that are told again now, at most so many.
    pub(super) fn look(&mut self, maps: &Maps, most: usize, now: u32) -> Vec<u32> {
        self.look_at(&maps.connections4, &maps.connections6, most, now)
    }

    fn look_at(
        &mut self,
        entries4: &Entries<V4>,
        entries6: &Entries<V6>,
        most: usize,
        now: u32,
    ) -> Vec<u32> {
        let v4 = self.marks4.len();
        let end = v4 + self.marks6.len();
        let stop = (self.place + end.div_ceil(TURNS)).min(end);
        let (period, retries) = (self.period, self.retries);
        let mut due = Vec::new();
        while self.place < stop && due.len() < most {
            let found = match self.place.checked_sub(v4) {
                None => {
                    let marks = &mut self.marks4;
                    turn_of::<V4>(entries4, marks, self.place, (period, retries), now)
                }
                Some(way) => turn_of::<V6>(entries6, &mut self.marks6, way, (period, retries), now),
            };
            due.extend(found);
            self.place += 1;
        }
        if self.place >= end {
            self.place = 0;
        }
        due
    }
}

/// A way's number as an event, if it is its turn.
fn turn_of<F: Family>(
    entries: &Entries<F>,
    marks: &mut [Mark],
    way: usize,
    (period, retries): (u32, u8),
    now: u32,
) -> Option<u32> {
    let mark = marks.get_mut(way).filter(|mark| mark.tag.is_live())?;
    let way = u32::try_from(way).ok()?;
    if entries
        .tag(way)
        .is_none_or(|tag| !tag.is_live() || !tag.same_connection(mark.tag))
    {
        *mark = Mark::default();
        return None;
    }
    let word = |offset| Some(entries.word(way, offset)?.load(Ordering::Relaxed));
    // What another director tells is its own to tell again: two that told each other would keep a connection
    // alive that nobody has any more.
    if word(offset_of!(Entry<F>, packets))? == 0 {
        return None;
    }
    let seen = word(offset_of!(Entry<F>, seen))?;
    let half = word(offset_of!(Entry<F>, timeout))? / 2;
    if age(seen, mark.seen) >= period.min(half.max(SHORTEST)) {
        mark.retries = 0;
    } else if mark.retries < retries && age(now, mark.told) >= period / 8 {
        mark.retries += 1;
    } else {
        return None;
    }
    (mark.seen, mark.told) = (seen, now);
    Some(event(F::NUMBER, way + 1))
}

#[cfg(test)]
mod tests {
    use lvs_common::connection::table::{self, New, Place, Store as _, Survey};
    use lvs_common::connection::{Client, Key, Kind, Ports, Record};

    use super::*;
    use lvs_dataplane::kernel::Mapping;
    use lvs_dataplane::table::Table;

    const WAYS: [u32; 2] = [16, 8];

    struct World {
        entries4: Entries<V4>,
        entries6: Entries<V6>,
        refresh: Refresh,
        number: u32,
        now: u32,
    }

    impl World {
        /// A connection that was told a moment ago.
        fn new(period: u64, retries: u8) -> Self {
            let entries4 = Entries::zeroed(WAYS[0]);
            let period = Duration::from_secs(period);
            let mut refresh = Refresh::new(Refreshing { period, retries }, WAYS).unwrap();
            let now = u32::MAX - ticks(3);
            let loads = Mapping::zeroed(4);
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
                record: Record {
                    server: 1,
                    service: 1,
                    method: 0,
                    persistence: 0,
                },
                client: Client::default(),
                partner: 0,
                state: 1,
                half_open: false,
                pinned: false,
                now,
                timeout: ticks(900),
                survey: Survey::default(),
            };
            let place = Place::of(V4::hash(&key, &[7_u64; 16]), table.sets());
            let inserted = table::insert(table, place, &mut new).unwrap();
            let packets = offset_of!(Entry<V4>, packets);
            let packets = entries4.word(inserted.number - 1, packets).unwrap();
            packets.store(3, Ordering::Relaxed);
            refresh.is_told(inserted.number, inserted.tag, now, now);
            Self {
                entries4,
                entries6: Entries::zeroed(WAYS[1]),
                refresh,
                number: inserted.number,
                now,
            }
        }

        /// Seconds go by, at the end of which there is a packet, or none. Whether it is told again.
        fn after(&mut self, seconds: u32, packet: bool) -> bool {
            self.now = self.now.wrapping_add(ticks(seconds));
            if packet {
                let seen = offset_of!(Entry<V4>, seen);
                let word = self.entries4.word(self.number - 1, seen).unwrap();
                word.store(self.now, Ordering::Relaxed);
            }
            let looks = (0..TURNS).flat_map(|_| {
                let (v4, v6) = (&self.entries4, &self.entries6);
                self.refresh.look_at(v4, v6, 9, self.now)
            });
            let found: Vec<u32> = looks.collect();
            assert!(found.len() <= 1 && found.iter().all(|number| *number == self.number));
            !found.is_empty()
        }
    }

    #[test]
    fn what_goes_on_is_told_again_after_the_period() {
        let mut world = World::new(30, 0);
        assert!(!world.after(20, true));
        assert!(world.after(11, true));
        assert!(!world.after(29, true));
        assert!(!world.after(100, false), "nothing happens");
        assert!(world.after(1, true));
    }

    #[test]
    fn what_was_told_is_repeated_as_often_as_wanted() {
        let mut world = World::new(80, 2);
        assert!(!world.after(9, false));
        assert!(world.after(2, false));
        assert!(world.after(11, false));
        assert!(!world.after(11, false), "twice is enough");
        assert!(world.after(60, true));
        assert!(world.after(11, false), "and again");
    }

    #[test]
    fn what_another_director_heard_last_is_not_told_again() {
        let mut world = World::new(30, 3);
        let packets = offset_of!(Entry<V4>, packets);
        let heard = |world: &World, packets_now| {
            let word = world.entries4.word(world.number - 1, packets).unwrap();
            word.store(packets_now, Ordering::Relaxed);
        };
        heard(&world, 0);
        assert!(!world.after(31, true));
        assert!(!world.after(31, true));
        heard(&world, 1);
        assert!(world.after(1, true));
    }

    #[test]
    fn what_is_gone_or_was_never_told_is_not_told_again() {
        let mut world = World::new(1, 3);
        let tag = world.entries4.word(world.number - 1, 0).unwrap();
        tag.store(0, Ordering::Relaxed);
        assert!(!world.after(10, true));
        assert!(Refresh::new(Refreshing::OFF, WAYS).is_none());
    }
}
