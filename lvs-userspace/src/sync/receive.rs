//! The backup: what other directors say goes into the tables.

use std::io;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lvs_common::abi::{Config, Load};
use lvs_common::connection::{Entry, Protocol};
use lvs_common::family::{Family, V4, V6};

use super::check::{Checked, check};
use super::link::Link;
use super::take::Taken;
use super::wire::{Message, Synced};
use super::worker::Work;
use super::{Discard, Discarded};
use crate::address::widen;
use crate::clock;
use crate::director::{Director, Recognized};
use crate::kernel::{Mapping, Maps, Plain};
use crate::table::{Table, claims};

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

    fn take(
        &self,
        synced: &Synced,
        director: &Director,
        config: &Config,
        now: u32,
    ) -> Result<(), Discard> {
        let checked = check(synced)?;
        let recognized =
            director.recognize(checked.protocol, synced.virtual_address, synced.server)?;
        let addresses = (synced.client, synced.virtual_address);
        let (maps, context) = (&self.maps, (config, now));
        match addresses {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => enter::<V4>(
                &maps.connections4,
                &maps.loads,
                addresses,
                &checked,
                &recognized,
                context,
            ),
            (SocketAddr::V6(_), SocketAddr::V6(_)) => enter::<V6>(
                &maps.connections6,
                &maps.loads,
                addresses,
                &checked,
                &recognized,
                context,
            ),
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

fn enter<F: Family>(
    entries: &Mapping<Entry<F>>,
    loads: &Mapping<Load>,
    (client, virtual_address): (SocketAddr, SocketAddr),
    checked: &Checked,
    recognized: &Recognized,
    (config, now): (&Config, u32),
) -> Result<(), Discard>
where
    Entry<F>: Plain,
{
    let own = |address: SocketAddr| (F::narrow(&widen(address.ip())), address.port());
    let timeout = checked
        .timeout
        .unwrap_or_else(|| of_state(config, checked.protocol, checked.state));
    let taken = Taken::<F>::new(
        own(client),
        own(virtual_address),
        checked,
        recognized,
        timeout,
    );
    let inserted = taken.enter(Table::new(entries, loads), &config.secrets, now)?;
    // It is the other director's, until its client is heard here.
    if let Some(packets) = entries.word(inserted.number - 1, offset_of!(Entry<F>, packets)) {
        packets.store(0, Ordering::Relaxed);
    }
    Ok(())
}

/// Ticks without a packet after which a connection in a state is forgotten here.
fn of_state(config: &Config, protocol: Protocol, state: u8) -> u32 {
    let index = Config::timeout_index(protocol, state.into());
    config.timeouts.get(index).copied().unwrap_or(0)
}
