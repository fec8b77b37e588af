//! The master: tells other directors about the connections of this one.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvs_common::abi::{Config, EVENT_IPV6};
use tracing::{debug, warn};

use super::Habits;
use super::feed::{Feed, Listener, Wanted};
use super::link::Link;
use super::refresh::Refresh;
use super::tell::{Told, tell};
use super::wire::Packer;
use super::worker::Work;
use lvs_api::sync::{self, SyncRole};
use lvs_dataplane::clock;
use lvs_dataplane::kernel::Maps;
use lvs_dataplane::kernel::Saved;

/// How often events are looked for: what a takeover may miss at most, beside what the thresholds leave
/// out.
const TURN: Duration = Duration::from_millis(20);
/// Entries told in one turn: 200,000 a second, about what a receiver can take without losing any.
const ENTRIES: usize = 4_096;
/// Ways looked at in one turn of a round.
const WAYS: u32 = 65_536;
/// A template is told with its connections, but not more often.
const TEMPLATES: Duration = Duration::from_secs(1);

/// What a master did since the daemon started.
#[derive(Debug, Default)]
pub(super) struct Sent {
    messages: AtomicU64,
    entries: AtomicU64,
    failed: AtomicU64,
    rounds: AtomicU64,
}

impl Sent {
    pub(super) fn status(&self, lost_events: u64) -> sync::Sent {
        sync::Sent {
            messages: self.messages.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost_events,
            rounds: self.rounds.load(Ordering::Relaxed),
        }
    }
}

/// Whom a master tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) syncid: u8,
    /// Bytes of a message at most.
    pub(super) max_length: u16,
    /// What is told is spread over so many ports.
    pub(super) ports: u16,
}

/// Tells one group of directors.
pub(super) struct Sender {
    maps: Arc<Maps>,
    events: Listener,
    /// One for each port.
    packers: Vec<Packer>,
    templates_only: bool,
    sent: Arc<Sent>,
    /// Events lost when it was looked last.
    lost: u64,
    /// The next way of a round over both tables, one after the other.
    round: Option<u32>,
    /// Templates told since `fresh`, as events.
    templates: HashSet<u32>,
    fresh: Instant,
    refresh: Option<Refresh>,
}

impl Sender {
    /// Begins with a round: nobody knows what was told before.
    pub(super) fn new(
        maps: Arc<Maps>,
        feed: &Arc<Feed>,
        group: Group,
        sent: Arc<Sent>,
        habits: Habits,
    ) -> Self {
        let events = feed.listen(Wanted::Repeats);
        let ways = [maps.connections4.len(), maps.connections6.len()];
        let packer = |_| Packer::new(group.syncid, group.max_length);
        Self {
            packers: (0..group.ports).map(packer).collect(),
            templates_only: habits.templates_only,
            sent,
            lost: events.lost(),
            events,
            round: Some(0),
            templates: HashSet::new(),
            fresh: Instant::now(),
            refresh: Refresh::new(habits.refreshing, ways),
            maps,
        }
    }

    /// One turn's work.
    fn tell(&mut self, link: &Link) {
        let Some(config) = self.maps.config.read(0) else {
            return;
        };
        let now = clock::now();
        if self.fresh.elapsed() >= TEMPLATES {
            self.fresh = Instant::now();
            self.templates.clear();
        }
        let mut events = self.events.take(ENTRIES);
        let left = ENTRIES - events.len();
        events.sort_unstable();
        events.dedup();
        for event in events {
            self.tell_event(link, &config, event, now);
        }
        let lost = self.events.lost();
        if lost != self.lost {
            let events = lost.wrapping_sub(self.lost);
            warn!("{events} events about connections were lost: all connections are told again");
            self.lost = lost;
            self.round = Some(0);
        }
        let left = self.repeat(link, &config, left, now);
        self.go_round(link, &config, left, now);
        for port in 0..self.packers.len() {
            if let Some(message) = self.packers.get_mut(port).and_then(Packer::flush) {
                self.send(link, port, &message);
            }
        }
    }

    /// Tells what an event is about, and the template that led it to its server.
    fn tell_event(&mut self, link: &Link, config: &Config, event: u32, now: u32) {
        if let Some(told) = self.read(config, event, now) {
            self.tell_template(link, config, event, &told, now);
            self.push(link, event, &told, now);
        }
    }

    /// Tells the template that led a connection to its server, unless it was a moment ago.
    fn tell_template(&mut self, link: &Link, config: &Config, event: u32, told: &Told, now: u32) {
        let Some(number) = told.template else {
            return;
        };
        let template = number | (event & EVENT_IPV6);
        if self.templates.insert(template)
            && let Some(found) = self.read(config, template, now)
        {
            self.push(link, template, &found, now);
        }
    }

    /// Tells again what has been told long ago; returns how many entries more may be told in this turn.
    fn repeat(&mut self, link: &Link, config: &Config, most: usize, now: u32) -> usize {
        let Some(refresh) = &mut self.refresh else {
            return most;
        };
        let due = refresh.look(&self.maps, most, now);
        for &event in &due {
            if let Some(told) = self.read(config, event, now) {
                self.tell_template(link, config, event, &told, now);
                self.pack(link, event, &told);
            }
        }
        most - due.len()
    }

    fn read(&self, config: &Config, event: u32, now: u32) -> Option<Told> {
        let maps = &self.maps;
        let way = (event & !EVENT_IPV6).checked_sub(1)?;
        if event & EVENT_IPV6 == 0 {
            tell(maps, &maps.connections4, config, way, now)
        } else {
            tell(maps, &maps.connections6, config, way, now)
        }
    }

    /// Goes on with the round, if there is one: templates come by themselves.
    fn go_round(&mut self, link: &Link, config: &Config, mut entries: usize, now: u32) {
        let Some(from) = self.round else {
            return;
        };
        let (v4, v6) = (self.maps.connections4.len(), self.maps.connections6.len());
        let end = v4.saturating_add(v6);
        // A director that is a backup as well listens to others, who know better what they heard last.
        let backup = self.maps.sync_daemons.read(Saved::index(SyncRole::Backup));
        let others_tell = backup.is_some_and(|saved| saved != Saved::NONE);
        let mut place = from;
        while place < end && place < from.saturating_add(WAYS) && entries > 0 {
            let event = match place.checked_sub(v4) {
                None => place + 1,
                Some(place) => (place + 1) | EVENT_IPV6,
            };
            let told = self.read(config, event, now);
            if let Some(told) = told.filter(|told| told.heard || !others_tell) {
                self.push(link, event, &told, now);
                entries -= 1;
            }
            place += 1;
        }
        self.round = (place < end).then_some(place);
        if self.round.is_none() {
            self.sent.rounds.fetch_add(1, Ordering::Relaxed);
            debug!("all connections were told");
        }
    }

    fn push(&mut self, link: &Link, event: u32, told: &Told, now: u32) {
        if let Some(refresh) = &mut self.refresh {
            refresh.is_told(event, told.tag, told.seen, now);
        }
        self.pack(link, event, told);
    }

    fn pack(&mut self, link: &Link, event: u32, told: &Told) {
        // Its template goes for it, each time.
        if self.templates_only && told.template.is_some() {
            return;
        }
        let port = port_of(event, self.packers.len());
        let Some(packer) = self.packers.get_mut(port) else {
            return;
        };
        self.sent.entries.fetch_add(1, Ordering::Relaxed);
        if let Some(message) = packer.push(&told.synced) {
            self.send(link, port, &message);
        }
    }

    fn send(&self, link: &Link, port: usize, message: &[u8]) {
        // What the network does not take is lost, as any of its packets may be. That it takes nothing
        // at all is noticed by whoever looks after the interface.
        let counter = match link.send(message, port) {
            Ok(()) => &self.sent.messages,
            Err(error) => {
                debug!("a message was not sent: {error}");
                &self.sent.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The port, of so many, that an entry is told through: always the same one, so that nothing that is said of
/// it overtakes what was said before (`select_master_thread_id`).
fn port_of(event: u32, ports: usize) -> usize {
    // Neighbours lie in one set, whose first ways are filled first: a multiplication by 2^32 over the golden
    // ratio puts them far apart.
    let mixed = u64::from(event.wrapping_mul(0x9e37_79b9));
    ((mixed * ports as u64) >> 32) as usize
}

impl Work for Sender {
    fn turn(&mut self, link: &Link) -> io::Result<()> {
        let start = Instant::now();
        self.tell(link);
        thread::sleep(TURN.saturating_sub(start.elapsed()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_spread_over_all_ports_and_keep_theirs() {
        for ports in [1_usize, 2, 3, 4, 64] {
            // The first way of each set, and all ways of a few.
            for numbers in [
                (1..=8_000).step_by(8).collect::<Vec<_>>(),
                (1..=1_000).collect(),
            ] {
                let mut told = vec![0; ports];
                for number in numbers {
                    told[port_of(number, ports)] += 1;
                    assert_eq!(port_of(number, ports), port_of(number, ports));
                }
                let fair = 1_000 / ports;
                assert!(told.iter().all(|&told| told >= fair / 2), "{told:?}");
            }
            assert!(port_of(u32::MAX, ports) < ports);
        }
    }
}
