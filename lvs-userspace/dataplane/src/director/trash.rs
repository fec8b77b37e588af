//! Deleted servers and services whose indexes connections still refer to, as IPVS's trash: who is
//! added again meanwhile finds its connections and counters.

use std::collections::HashSet;
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lvs_common::abi::{Address, CONCERN_WORDS, Load, Server, concern_bit};

use super::room::Of;
use super::{Director, Wanted};
use crate::address::widen;
use crate::kernel::wait_for_readers;
use lvs_api::model::{Method, ServiceId};

/// IPVS keeps a deleted server at least this long after its last connection.
const KEPT: Duration = Duration::from_mins(2);

/// Since when a deleted server has been what it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deleted {
    /// A grace period has passed: no packet can still pick it.
    settled: bool,
    /// Without connections since.
    idle: Option<Instant>,
}

impl Director {
    /// What has to be done about once a second, right after the sweep of the connections.
    pub fn tick(&mut self) {
        self.clear_overload();
        self.empty_trash(false);
        self.give_up_lost_hops();
        self.room.reclaim();
        if std::mem::take(&mut self.concern_is_stale) {
            self.compute_concern();
        }
    }

    /// Deletes a server that is no longer part of any plan.
    pub(super) fn bury(&mut self, server: u32) {
        if let Some(record) = self.servers.get_mut(&server) {
            record.deleted = Some(Deleted::default());
        }
        self.set_server_flags(server);
    }

    /// Frees what nothing refers to any more: long enough ago, or (`now`) whatever can be freed.
    pub(super) fn empty_trash(&mut self, now: bool) {
        if self
            .servers
            .values()
            .any(|server| server.deleted.is_some_and(|deleted| !deleted.settled))
        {
            wait_for_readers();
        }
        let moment = Instant::now();
        let mut free = Vec::new();
        for (&index, server) in &mut self.servers {
            let Some(deleted) = &mut server.deleted else {
                continue;
            };
            deleted.settled = true;
            let load = self.maps.loads.read(index);
            if load.is_some_and(|load| load.counts != 0 || load.templates != 0) {
                deleted.idle = None;
                continue;
            }
            let since = *deleted.idle.get_or_insert(moment);
            if now || moment.duration_since(since) >= KEPT {
                free.push(index);
            }
        }
        for server in free {
            self.free_server(server);
        }
        self.free_services();
    }

    /// Makes a server index free that no packet can refer to.
    pub(super) fn free_server(&mut self, server: u32) {
        let Some(record) = self.servers.remove(&server) else {
            return;
        };
        self.by_server.remove(&(record.service, record.address));
        self.rates.forget_server(server);
        self.maps.servers.write(
            server,
            Server {
                address: [0; 16],
                port: 0.into(),
                family: 0,
                flags: 0,
                service: 0,
                hop: 0,
                reserved: 0,
            },
        );
        self.room.give(Of::Servers, server, 1);
        self.concern_is_stale = true;
    }

    /// Frees deleted services without servers.
    fn free_services(&mut self) {
        if self.services.values().all(|service| !service.deleted) {
            return;
        }
        let in_use: HashSet<u32> = self.servers.values().map(|server| server.service).collect();
        let free: Vec<u32> = self
            .services
            .iter()
            .filter(|(index, service)| service.deleted && !in_use.contains(index))
            .map(|(&index, _)| index)
            .collect();
        for index in free {
            if let Some(service) = self.services.remove(&index) {
                self.publish(index, 0);
                self.by_id.remove(&service.id);
                self.rates.forget_service(index);
                self.retire_plan(service.plan);
                self.room.retire(Of::Services, index, 1);
                self.concern_is_stale = true;
            }
        }
    }

    /// A server whose upper threshold was raised or removed is not overloaded until found so again.
    pub(super) fn forget_overload(&self, index: u32, next: &Wanted) {
        let Some(service) = self.services.get(&index) else {
            return;
        };
        for ((id, before), member) in service.wanted.servers.iter().zip(&service.members) {
            let after = next
                .servers
                .iter()
                .find(|(next, _)| next == id)
                .map(|(_, settings)| settings.upper);
            if after.is_some_and(|upper| upper == 0 || upper > before.upper) {
                self.set_overloaded(member.server, false);
            }
        }
    }

    fn set_overloaded(&self, server: u32, overloaded: bool) {
        if let Some(word) = self.maps.loads.word(server, offset_of!(Load, overloaded)) {
            word.store(u32::from(overloaded), Ordering::Relaxed);
        }
    }

    /// Overloaded servers take new connections again once they hold few enough.
    fn clear_overload(&self) {
        for (_, service) in self.live() {
            for ((_, settings), member) in service.wanted.servers.iter().zip(&service.members) {
                if settings.upper == 0 {
                    continue;
                }
                let Some(load) = self.maps.loads.read(member.server) else {
                    continue;
                };
                let held = u64::from(load.active()) + u64::from(load.inactive());
                let few = match settings.lower {
                    0 => held * 4 < u64::from(settings.upper) * 3,
                    lower => held < u64::from(lower),
                };
                if few && load.overloaded != 0 {
                    self.set_overloaded(member.server, false);
                }
            }
        }
    }

    /// Writes the filter of addresses anew: what is no longer needed drops out.
    pub(super) fn compute_concern(&self) {
        let mut words = vec![0u64; CONCERN_WORDS];
        let mut set = |address: &Address| {
            let (word, bit) = concern_bit(address);
            if let Some(word) = words.get_mut(word) {
                *word |= 1 << bit;
            }
        };
        for service in self.services.values() {
            if let ServiceId::Address { address, .. } = service.id {
                set(&widen(address.ip()));
            }
            for (server, settings) in &service.wanted.servers {
                if settings.method == Method::Nat {
                    set(&widen(server.address()));
                }
            }
        }
        self.rules.addresses().for_each(&mut set);
        // Replies of a deleted server's connections are still the director's: to be dropped.
        for server in self
            .servers
            .values()
            .filter(|server| server.deleted.is_some())
        {
            set(&widen(server.address.ip()));
        }
        for (index, word) in (0..).zip(words) {
            if let Some(place) = self.maps.concern.double_word(index, 0) {
                place.store(word, Ordering::Relaxed);
            }
        }
    }
}
