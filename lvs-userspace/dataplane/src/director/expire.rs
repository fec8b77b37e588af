//! Frees what nothing refers to any more.

use std::collections::{BTreeMap, BTreeSet};

use lvs_api::model::ServiceId;
use lvs_common::ftp::serves;

use super::address_filter::holds_servers;
use super::allocator::MapKind;
use super::parts::Director;
use super::{ftp, keys, locality, overload};
use crate::address::widen;

impl Director {
    /// Does what has to be done about once a second, right after the sweep of the connections.
    pub fn tick(&mut self) {
        overload::expire(&self.maps.loads, &self.services);
        self.empty_trash(false);
        self.expire_hops();
        self.marks.follow_interfaces(&self.services);
        self.expire_source_pools();
        self.allocator.reclaim();
        self.maps.slots.rest();
        self.broadcasts.close();
        if self.filter.is_stale() {
            self.rebuild_filter();
        }
    }

    /// Frees deleted servers and services whose connections are gone long enough, or (`at_once`) all that
    /// have none.
    pub(super) fn empty_trash(&mut self, at_once: bool) {
        let expired = self.servers.expired(at_once);
        self.forget_localities_of(&expired);
        for server in expired {
            self.free_server(server);
        }
        self.free_services();
    }

    /// Frees source pools that no server refers to.
    fn expire_source_pools(&mut self) {
        if !self.source_pools.is_empty() {
            let used = self.servers.source_pools();
            self.source_pools.retire_unused(&used, &mut self.allocator);
        }
    }

    /// Frees the index of a server that no packet can refer to.
    pub(super) fn free_server(&mut self, server: u32) {
        if self.servers.remove(server) {
            self.statistics.forget_server(server);
            self.allocator.free(MapKind::Servers, server, 1);
            self.filter.mark_stale();
        }
    }

    /// Has lblc and lblcr forget servers whose indexes may become others'.
    fn forget_localities_of(&self, servers: &[u32]) {
        let mut by_service: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for &server in servers {
            if let Some((service, _)) = self.servers.get(server) {
                by_service.entry(service).or_default().insert(server);
            }
        }
        for (index, servers) in by_service {
            let service = self.services.get(index).filter(|it| !it.deleted);
            if let Some(service) = service.filter(|it| locality::remembers(&it.wanted.settings)) {
                let destination = locality::destination(&service.id);
                let localities = &self.maps.localities;
                localities.forget_servers(index, destination, &servers);
            }
        }
    }

    /// Frees deleted services without servers.
    fn free_services(&mut self) {
        if self.services.all().all(|(_, service)| !service.deleted) {
            return;
        }
        let in_use = self.servers.services();
        let deleted = self.services.all().filter(|(_, service)| service.deleted);
        let free: Vec<(u32, u32)> = deleted
            .filter(|(index, _)| !in_use.contains(index))
            .map(|(index, service)| (index, service.plan))
            .collect();
        for (index, plan) in free {
            self.services.remove(index);
            self.publisher.switch(index, 0);
            self.statistics.forget_service(index);
            self.retire_plan(plan);
            self.allocator.retire(MapKind::Services, index, 1);
            self.filter.mark_stale();
        }
    }

    /// Writes the filter of addresses anew: what is no longer needed drops out.
    fn rebuild_filter(&mut self) {
        let mut addresses = Vec::new();
        for (_, service) in self.services.all() {
            if let ServiceId::Address { address, .. } = service.id {
                addresses.push(widen(address.ip()));
            }
            let servers = service.wanted.servers.iter();
            let held = servers.filter(|(_, settings)| holds_servers(settings.method));
            addresses.extend(held.map(|(server, _)| widen(server.address())));
        }
        // Replies of a deleted server's connections are still the director's: to be dropped.
        addresses.extend(self.servers.deleted().map(|(_, address)| widen(address)));
        self.filter.rebuild(&addresses, self.marks.destinations());
        let mut configured = self.services.configured();
        let ftp = configured.any(|(_, service)| serves(&keys::key(&service.id)));
        ftp::publish(&self.maps.config, ftp);
    }
}
