//! The master daemon: sends entries of this director to the others.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::sync::{SyncRole, SyncSent};
use lvs_common::abi::Config;
use lvs_common::connection::EntryId;
use lvs_dataplane::clock;
use lvs_dataplane::kernel::{Maps, SavedSyncDaemon};
use tracing::{debug, warn};

use super::options::SyncOptions;
use super::refresh::Refresher;
use super::snapshot::{self, Snapshot};
use super::socket::SyncSocket;
use super::wire::Packer;
use super::worker::Work;
use crate::entries::Entries;
use crate::events::{EventFeed, Interest, Subscription};

/// From one look at the events to the next: what a takeover may miss at most, beside what the thresholds leave
/// out.
const TURN: Duration = Duration::from_millis(20);
/// Entries sent in one turn: 200,000 a second, about what a receiver can apply without losing any.
const ENTRIES: usize = 4_096;
/// Entries that a round passes in one turn.
const PASSED: u32 = 65_536;
/// A template is sent with its connections, but not more often.
const TEMPLATES: Duration = Duration::from_secs(1);

/// Counters of a master since lvsd started.
#[derive(Debug, Default)]
pub(super) struct SendCounters {
    messages: AtomicU64,
    entries: AtomicU64,
    failed: AtomicU64,
    scans: AtomicU64,
}

impl SendCounters {
    pub(super) fn status(&self, lost_events: u64) -> SyncSent {
        SyncSent {
            messages: self.messages.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost_events,
            scans: self.scans.load(Ordering::Relaxed),
        }
    }
}

/// Parameters of all messages of a master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressing {
    pub(super) syncid: u8,
    /// Bytes of a message at most.
    pub(super) max_length: u16,
    /// Number of ports that entries are spread over.
    pub(super) ports: u16,
}

/// Socket, configuration and clock of one turn.
#[derive(Clone, Copy)]
struct Turn<'a> {
    socket: &'a SyncSocket,
    config: &'a Config,
    now: u32,
}

/// Sends to one group of directors.
pub(super) struct Master {
    maps: Arc<Maps>,
    events: Subscription,
    /// One for each port.
    packers: Vec<Packer>,
    templates_only: bool,
    counters: Arc<SendCounters>,
    /// Events that were lost in all, as of the last turn.
    lost: u64,
    /// The next place of a round over both tables.
    round: Option<u32>,
    /// Templates sent since `templates_since`.
    templates: HashSet<EntryId>,
    templates_since: Instant,
    refresher: Option<Refresher>,
}

impl Master {
    /// Begins with a round: nobody knows what was sent before.
    pub(super) fn new(
        maps: Arc<Maps>,
        feed: &Arc<EventFeed>,
        addressing: Addressing,
        counters: Arc<SendCounters>,
        options: SyncOptions,
    ) -> Self {
        let events = feed.subscribe(Interest::Repeats);
        let sizes = Entries::from(&*maps).sizes();
        let packer = |_| Packer::new(options.version, addressing.syncid, addressing.max_length);
        Self {
            packers: (0..addressing.ports).map(packer).collect(),
            templates_only: options.templates_only,
            counters,
            lost: events.lost(),
            events,
            round: Some(0),
            templates: HashSet::new(),
            templates_since: Instant::now(),
            refresher: Refresher::new(options.refresh, sizes),
            maps,
        }
    }

    fn send_turn(&mut self, socket: &SyncSocket) {
        let Some(config) = self.maps.config.read(0) else {
            return;
        };
        let turn = Turn {
            socket,
            config: &config,
            now: clock::now(),
        };
        if self.templates_since.elapsed() >= TEMPLATES {
            self.templates_since = Instant::now();
            self.templates.clear();
        }
        let mut events = self.events.drain(ENTRIES);
        let left = ENTRIES - events.len();
        events.sort_unstable();
        events.dedup();
        for id in events {
            self.send_event(turn, id);
        }
        let lost = self.events.lost();
        if lost != self.lost {
            let events = lost.wrapping_sub(self.lost);
            warn!("{events} events about connections were lost: all connections are sent again");
            self.lost = lost;
            self.round = Some(0);
        }
        let left = self.send_due(turn, left);
        self.go_round(turn, left);
        for port in 0..self.packers.len() {
            if let Some(message) = self.packers.get_mut(port).and_then(Packer::flush) {
                self.send(socket, port, &message);
            }
        }
    }

    fn read(&self, turn: Turn<'_>, id: EntryId) -> Option<Snapshot> {
        snapshot::read(&self.maps, turn.config, id, turn.now)
    }

    /// Sends the entry of an event, and the template that led it to its server.
    fn send_event(&mut self, turn: Turn<'_>, id: EntryId) {
        if let Some(snapshot) = self.read(turn, id) {
            self.send_template(turn, &snapshot);
            self.push(turn, id, &snapshot);
        }
    }

    /// Sends the template that led a connection to its server, unless it was sent a moment ago.
    fn send_template(&mut self, turn: Turn<'_>, connection: &Snapshot) {
        let Some(template) = connection.template else {
            return;
        };
        if self.templates.insert(template)
            && let Some(snapshot) = self.read(turn, template)
        {
            self.push(turn, template, &snapshot);
        }
    }

    /// Sends entries again that are due; returns how many more may be sent in this turn.
    fn send_due(&mut self, turn: Turn<'_>, most: usize) -> usize {
        let Some(refresher) = &mut self.refresher else {
            return most;
        };
        let due = refresher.due(Entries::from(&*self.maps), most, turn.now);
        for &id in &due {
            if let Some(snapshot) = self.read(turn, id) {
                self.send_template(turn, &snapshot);
                self.pack(turn.socket, id, &snapshot);
            }
        }
        most - due.len()
    }

    /// Goes on with the round, if there is one: templates come by themselves.
    fn go_round(&mut self, turn: Turn<'_>, mut entries: usize) {
        let Some(from) = self.round else {
            return;
        };
        let sizes = Entries::from(&*self.maps).sizes();
        // A director that is a backup as well has replicas of others, who know better what they saw last.
        let backup = self
            .maps
            .sync_daemons
            .read(SavedSyncDaemon::index(SyncRole::Backup));
        let own_only = backup.is_some_and(|saved| saved != SavedSyncDaemon::NONE);
        let mut place = from;
        while place < from.saturating_add(PASSED)
            && entries > 0
            && let Some(id) = EntryId::at(place, sizes)
        {
            let snapshot = self.read(turn, id);
            if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.own || !own_only) {
                self.push(turn, id, &snapshot);
                entries -= 1;
            }
            place += 1;
        }
        self.round = EntryId::at(place, sizes).map(|_| place);
        if self.round.is_none() {
            self.counters.scans.fetch_add(1, Ordering::Relaxed);
            debug!("all connections were sent");
        }
    }

    fn push(&mut self, turn: Turn<'_>, id: EntryId, snapshot: &Snapshot) {
        if let Some(refresher) = &mut self.refresher {
            refresher.note_sent(id, snapshot.tag, snapshot.seen, turn.now);
        }
        self.pack(turn.socket, id, snapshot);
    }

    fn pack(&mut self, socket: &SyncSocket, id: EntryId, snapshot: &Snapshot) {
        // Its template goes for it, each time.
        if self.templates_only && snapshot.template.is_some() {
            return;
        }
        let port = port_of(id, self.packers.len());
        let Some(packer) = self.packers.get_mut(port) else {
            return;
        };
        // What messages of version 0 leave out was said when the daemon started.
        let Ok(message) = packer.push(&snapshot.entry) else {
            return;
        };
        self.counters.entries.fetch_add(1, Ordering::Relaxed);
        if let Some(message) = message {
            self.send(socket, port, &message);
        }
    }

    fn send(&self, socket: &SyncSocket, port: usize, message: &[u8]) {
        // What the network refuses is lost, as any of its packets may be. That it refuses everything is noticed
        // by the worker, which looks after the interface.
        let counter = match socket.send(message, port) {
            Ok(()) => &self.counters.messages,
            Err(error) => {
                debug!("a message was not sent: {error}");
                &self.counters.failed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The port, of so many, that an entry is sent to: always the same one, so that no message about it overtakes
/// an earlier one (`select_master_thread_id`).
fn port_of(id: EntryId, ports: usize) -> usize {
    // Neighbours lie in one set, whose first ways are filled first: a multiplication by 2^32 over the golden
    // ratio puts them far apart.
    let mixed = u64::from(id.bits().wrapping_mul(0x9e37_79b9));
    ((mixed * ports as u64) >> 32) as usize
}

impl Work for Master {
    fn turn(&mut self, socket: &SyncSocket) -> io::Result<()> {
        let start = Instant::now();
        self.send_turn(socket);
        thread::sleep(TURN.saturating_sub(start.elapsed()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lvs_common::family::{V4, V6};

    use super::*;

    #[test]
    fn entries_are_spread_over_all_ports_and_keep_theirs() {
        for ports in [1_usize, 2, 3, 4, 64] {
            // The first way of each set, and all ways of a few.
            for numbers in [
                (1..=8_000).step_by(8).collect::<Vec<_>>(),
                (1..=1_000).collect(),
            ] {
                let mut sent = vec![0; ports];
                for number in numbers {
                    let id = EntryId::new::<V4>(number);
                    sent[port_of(id, ports)] += 1;
                    assert_eq!(port_of(id, ports), port_of(id, ports));
                }
                let fair = 1_000 / ports;
                assert!(sent.iter().all(|&sent| sent >= fair / 2), "{sent:?}");
            }
            assert!(port_of(EntryId::new::<V6>(u32::MAX), ports) < ports);
        }
    }
}
