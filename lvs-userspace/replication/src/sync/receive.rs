//! The backup: what other directors say goes into the tables.

use std::io;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lvs_common::abi::{Config, Load};
use lvs_common::connection::Entry;
use lvs_common::family::{Family, V4, V6};

use super::check::{Checked, check};
use super::link::Link;
use super::take::{Present, Taken};
use super::unbound::Unbound;
use super::wire::{Message, Synced};
use super::worker::Work;
use super::{Discard, Discarded};
use lvs_dataplane::address::widen;
use lvs_dataplane::clock;
use lvs_dataplane::director::{Director, Recognized};
use lvs_dataplane::kernel::{Entries, Mapping, Maps};
use lvs_dataplane::table::{Table, claims};

/// No UDP datagram is longer.
const LONGEST_DATAGRAM: usize = 65_536;

/// What a backup met since the daemon started.
#[derive(Debug, Default)]
pub struct Received {
    /// Messages, those that were not taken included.
    pub messages: AtomicU64,
    /// Connections and templates that the table holds now as they were told.
    pub entries: AtomicU64,
    /// Messages that came faster than they were taken, so that there was no room for them.
    pub overflowed: AtomicU64,
    /// What was not taken.
    pub discarded: Discarded,
    /// What may be taken later.
    pub(super) unbound: Mutex<Unbound>,
}

impl Received {
    pub(super) fn unbound(&self) -> MutexGuard<'_, Unbound> {
        self.unbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes messages of one group of directors.
pub struct Receiver {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    syncid: u8,
    received: Arc<Received>,
    buffer: Box<[u8]>,
}

impl Receiver {
    /// `syncid` 0 takes messages of every group.
    pub fn new(director: Arc<Mutex<Director>>, syncid: u8, received: Arc<Received>) -> Self {
        let maps = {
            let director = director.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(director.maps())
        };
        Self {
            director,
            maps,
            syncid,
            received,
            buffer: vec![0; LONGEST_DATAGRAM].into(),
        }
    }

    /// Takes what a datagram says, as far as it makes sense.
    fn receive(&self, datagram: &[u8], now: u32) {
        let received = &self.received;
        received.messages.fetch_add(1, Ordering::Relaxed);
        let message = match Message::parse(datagram) {
            Ok(message) if self.syncid == 0 || message.syncid == self.syncid => message,
            Ok(_) => return received.discarded.count(Discard::SyncId),
            Err(why) => return received.discarded.count(why),
        };
        let Some(config) = self.maps.config.read(0) else {
            return;
        };
        let director = self.director.lock().unwrap_or_else(PoisonError::into_inner);
        let _claims = claims();
        for entry in message.entries() {
            match entry.and_then(|synced| self.take(&synced, &director, &config, now)) {
                Ok(()) => _ = received.entries.fetch_add(1, Ordering::Relaxed),
                Err(why) => received.discarded.count(why),
            }
        }
    }

    /// Takes what waited for a real server that has come.
    fn bind(&self, now: u32) {
        let director = self.director.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unbound = self.received.unbound();
        let Some(config) = self.maps.config.read(0).filter(|_| unbound.is_due(now)) else {
            return;
        };
        let _claims = claims();
        unbound.look(now, |synced, checked, left| {
            let Ok(recognized) = recognize(&director, synced, checked) else {
                return false;
            };
            let entering = Entering {
                synced,
                checked,
                recognized,
                timeout: left,
                late: true,
            };
            match self.enter(&entering, &config, now) {
                Ok(()) => _ = self.received.entries.fetch_add(1, Ordering::Relaxed),
                Err(why) => self.received.discarded.count(why),
            }
            true
        });
    }

    fn take(
        &self,
        synced: &Synced,
        director: &Director,
        config: &Config,
        now: u32,
    ) -> Result<(), Discard> {
        let checked = check(synced)?;
        let timeout = checked
            .timeout
            .or_else(|| Some(config.timeout(checked.protocol?, checked.state)))
            .unwrap_or(0);
        let recognized = recognize(director, synced, &checked);
        let mut unbound = self.received.unbound();
        if recognized.is_ok() {
            unbound.forget(synced, &checked);
        } else {
            unbound.keep(synced, &checked, timeout, now);
        }
        drop(unbound);
        let entering = Entering {
            synced,
            checked: &checked,
            recognized: recognized?,
            timeout,
            late: false,
        };
        self.enter(&entering, config, now)
    }

    fn enter(&self, entering: &Entering<'_>, config: &Config, now: u32) -> Result<(), Discard> {
        let maps = &self.maps;
        match (entering.synced.client, entering.synced.virtual_address) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => {
                enter::<V4>(&maps.connections4, &maps.loads, entering, config, now)
            }
            (SocketAddr::V6(_), SocketAddr::V6(_)) => {
                enter::<V6>(&maps.connections6, &maps.loads, entering, config, now)
            }
            _ => Err(Discard::Address),
        }
    }
}

impl Work for Receiver {
    fn turn(&mut self, link: &Link) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = link.receive(&mut buffer);
        if let Ok(arrived) = &received {
            let overflowed = u64::from(arrived.overflowed);
            self.received
                .overflowed
                .fetch_add(overflowed, Ordering::Relaxed);
            if let Some(datagram) = buffer.get(..arrived.length) {
                self.receive(datagram, clock::now());
            }
        }
        self.buffer = buffer;
        let now = clock::now();
        let is_due = self.received.unbound().is_due(now);
        if is_due {
            self.bind(now);
        }
        match received {
            // Nothing came, or somebody answered that nobody listens, which is none of our business.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                        | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// The virtual service and real server of what is told.
fn recognize(
    director: &Director,
    synced: &Synced,
    checked: &Checked,
) -> Result<Recognized, Discard> {
    let Checked { mark, protocol, .. } = *checked;
    Ok(director.recognize(mark, protocol, synced.virtual_address, synced.server)?)
}

/// What is to be entered, and how.
struct Entering<'a> {
    synced: &'a Synced,
    checked: &'a Checked,
    recognized: Recognized,
    /// Ticks without a packet after which it is expired.
    timeout: u32,
    /// It was told a while ago: whatever the table holds of it is newer.
    late: bool,
}

fn enter<F: Family>(
    entries: &Entries<F>,
    loads: &Mapping<Load>,
    entering: &Entering<'_>,
    config: &Config,
    now: u32,
) -> Result<(), Discard> {
    let own = |address: SocketAddr| (F::narrow(&widen(address.ip())), address.port());
    let taken = Taken::<F>::new(
        own(entering.synced.client),
        own(entering.synced.virtual_address),
        entering.checked,
        &entering.recognized,
        entering.timeout,
    );
    let (table, secrets) = (Table::new(entries, loads), &config.secrets);
    let inserted = if entering.late {
        let refuse = |there: Present| (!there.expired).then_some(Discard::Fresher);
        taken.enter_unless(table, secrets, now, refuse)?
    } else {
        taken.enter(table, secrets, now)?
    };
    // It is the other director's, until its client is heard here.
    if let Some(packets) = entries.word(inserted.number - 1, offset_of!(Entry<F>, packets)) {
        packets.store(0, Ordering::Relaxed);
    }
    Ok(())
}
