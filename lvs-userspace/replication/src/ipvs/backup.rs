//! The backup daemon: applies entries of other directors to the tables of this one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lvs_api::sync::SyncReceived;
use lvs_common::abi::{Config, ServiceKey};
use lvs_common::connection::{Key, Kind, Ports, template};
use lvs_common::family::{Family, V4, V6};
use lvs_dataplane::address::widen;
use lvs_dataplane::clock;
use lvs_dataplane::director::{Director, Recognized};
use lvs_dataplane::kernel::Maps;
use lvs_dataplane::table::{Table, claims};
use parking_lot::{Mutex, MutexGuard};

use super::socket::SyncSocket;
use super::unbound::Unbound;
use super::validate::{ValidEntry, validate};
use super::wire::{Message, SyncEntry};
use super::worker::Work;
use crate::apply::{BoundReplica, Existing};
use crate::calls::keep_call;
use crate::discard::{Discard, DiscardCounters};
use crate::replica::Replica;

/// No UDP datagram is longer.
const LONGEST_DATAGRAM: usize = 65_536;
/// Bits of a template's client that count: it is sent as its network.
const WHOLE: u8 = 128;

/// Counters of a backup since lvsd started.
#[derive(Debug, Default)]
pub(super) struct ReceiveCounters {
    /// Messages, discarded ones included.
    messages: AtomicU64,
    /// Entries that were applied.
    entries: AtomicU64,
    /// Messages that found the socket's buffer full.
    overflowed: AtomicU64,
    discarded: DiscardCounters,
    unbound: Mutex<Unbound>,
}

impl ReceiveCounters {
    pub(super) fn unbound(&self) -> MutexGuard<'_, Unbound> {
        self.unbound.lock()
    }

    pub(super) fn status(&self) -> SyncReceived {
        SyncReceived {
            messages: self.messages.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            unbound: self.unbound().len() as u64,
            discarded: self.discarded.list(),
        }
    }
}

/// Receives from one group of directors.
pub(super) struct Backup {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    syncid: u8,
    counters: Arc<ReceiveCounters>,
    buffer: Box<[u8]>,
}

impl Backup {
    /// `syncid` 0 accepts messages of every group.
    pub(super) fn new(
        director: Arc<Mutex<Director>>,
        syncid: u8,
        counters: Arc<ReceiveCounters>,
    ) -> Self {
        let maps = {
            let director = director.lock();
            Arc::clone(director.maps())
        };
        Self {
            director,
            maps,
            syncid,
            counters,
            buffer: vec![0; LONGEST_DATAGRAM].into(),
        }
    }

    /// Applies the valid entries of a datagram.
    fn receive(&self, datagram: &[u8], now: u32) {
        let counters = &self.counters;
        counters.messages.fetch_add(1, Ordering::Relaxed);
        let message = match Message::parse(datagram) {
            Ok(message) if self.syncid == 0 || message.syncid == self.syncid => message,
            Ok(_) => return counters.discarded.count(Discard::SyncId),
            Err(why) => return counters.discarded.count(why),
        };
        let Some(config) = self.maps.config.read(0) else {
            return;
        };
        let director = self.director.lock();
        let _claims = claims();
        for entry in message.entries() {
            let applied =
                entry.and_then(|entry| self.receive_entry(&entry, &director, &config, now));
            self.count(applied);
        }
    }

    fn count(&self, applied: Result<(), Discard>) {
        match applied {
            Ok(()) => _ = self.counters.entries.fetch_add(1, Ordering::Relaxed),
            Err(why) => self.counters.discarded.count(why),
        }
    }

    /// Applies what waited for a real server that is configured now.
    fn bind(&self, now: u32) {
        let director = self.director.lock();
        let mut unbound = self.counters.unbound();
        let Some(config) = self.maps.config.read(0).filter(|_| unbound.is_due(now)) else {
            return;
        };
        let _claims = claims();
        unbound.retry(now, |entry, left| {
            let Ok(recognized) = recognize(&director, entry) else {
                return false;
            };
            // It was received a while ago: whatever the table holds of it is newer.
            let refuse = |existing: Existing| (!existing.expired).then_some(Discard::Fresher);
            self.count(self.apply(entry, &recognized, left, &config, now, refuse));
            true
        });
    }

    fn receive_entry(
        &self,
        entry: &SyncEntry,
        director: &Director,
        config: &Config,
        now: u32,
    ) -> Result<(), Discard> {
        let entry = validate(entry)?;
        let Replica {
            protocol,
            state,
            timeout,
            ..
        } = entry.replica;
        let timeout = timeout
            .or_else(|| Some(config.timeout(protocol?, state)))
            .unwrap_or(0);
        let recognized = recognize(director, &entry);
        let mut unbound = self.counters.unbound();
        if recognized.is_ok() {
            unbound.forget(&entry);
        } else {
            unbound.keep(&entry, timeout, now);
        }
        drop(unbound);
        let refuse = |existing: Existing| existing.outlives(entry.inactive);
        self.apply(&entry, &recognized?, timeout, config, now, refuse)
    }

    fn apply(
        &self,
        entry: &ValidEntry,
        recognized: &Recognized,
        timeout: u32,
        config: &Config,
        now: u32,
        refuse: impl Fn(Existing) -> Option<Discard>,
    ) -> Result<(), Discard> {
        let maps = &self.maps;
        let replica = &entry.replica;
        let (state, secrets) = (replica.state, &config.secrets);
        let applied = match (replica.client, replica.virtual_address) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => {
                let table = Table::new(&maps.connections4, &maps.loads);
                let mut key = key::<V4>(replica, &recognized.service);
                if let Some(call_id) = &entry.call_id {
                    key = keep_call(&key, call_id, recognized, secrets, &maps.calls)?;
                }
                BoundReplica::new(key, state, timeout, recognized)
                    .apply(table, secrets, now, refuse)
            }
            (SocketAddr::V6(_), SocketAddr::V6(_)) => {
                let table = Table::new(&maps.connections6, &maps.loads);
                let mut key = key::<V6>(replica, &recognized.service);
                if let Some(call_id) = &entry.call_id {
                    key = keep_call(&key, call_id, recognized, secrets, &maps.calls)?;
                }
                BoundReplica::new(key, state, timeout, recognized)
                    .apply(table, secrets, now, refuse)
            }
            _ => Err(Discard::Address),
        };
        applied.map(drop)
    }
}

impl Work for Backup {
    fn turn(&mut self, socket: &SyncSocket) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = socket.receive(&mut buffer);
        if let Ok(datagram) = &received {
            let overflowed = u64::from(datagram.overflowed);
            self.counters
                .overflowed
                .fetch_add(overflowed, Ordering::Relaxed);
            if let Some(datagram) = buffer.get(..datagram.length) {
                self.receive(datagram, clock::now());
            }
        }
        self.buffer = buffer;
        let now = clock::now();
        let is_due = self.counters.unbound().is_due(now);
        if is_due {
            self.bind(now);
        }
        match received {
            // Nothing came, or a host answered that its port is closed, which does not matter here.
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

/// The virtual service and real server of an entry.
fn recognize(director: &Director, entry: &ValidEntry) -> Result<Recognized, Discard> {
    let Replica {
        protocol,
        virtual_address,
        ..
    } = entry.replica;
    Ok(director.recognize(entry.mark, protocol, virtual_address, entry.server)?)
}

/// Key of a connection or template of a virtual service.
fn key<F: Family>(replica: &Replica, service: &ServiceKey) -> Key<F> {
    let address = |address: SocketAddr| F::narrow(&widen(address.ip()));
    let client = address(replica.client);
    match replica.protocol {
        Some(protocol) if !replica.template => Key {
            source: client,
            destination: address(replica.virtual_address),
            ports: Ports {
                source: replica.client.port().into(),
                destination: replica.virtual_address.port().into(),
            },
            protocol: protocol.number(),
            kind: Kind::Request as u8,
        },
        _ => template::template::<F>(client, service, WHOLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_a_mark_has_the_key_that_packets_look_up() {
        let service = ServiceKey {
            address: widen([0, 0, 0, 5].into()),
            port: 0.into(),
            protocol: ServiceKey::MARK,
            family: 4,
        };
        let template = Replica {
            protocol: None,
            template: true,
            client: "198.51.100.0:0".parse().unwrap(),
            virtual_address: "0.0.0.5:0".parse().unwrap(),
            state: 1,
            timeout: None,
        };
        let looked_up = template::template::<V4>([198, 51, 100, 7], &service, 24);
        assert_eq!(key::<V4>(&template, &service), looked_up);
    }
}
