//! Writes a service beside the one in force, then switches over.

use std::collections::HashSet;
use std::net::SocketAddr;

use lvs_api::model::{OnDown, ServerId, ServiceId};
use lvs_api::protocol::Refusal;
use lvs_common::abi::{Load, Pick};
use lvs_common::ftp::serves;
use tracing::error;
use zerocopy::FromZeros as _;

use super::address_filter::holds_servers;
use super::allocator::MapKind;
use super::changes::{Changes, ServerChange};
use super::parts::Director;
use super::plan::Layout;
use super::services::{Assigned, Service};
use super::wanted::{Wanted, canonical};
use super::{ftp, keys, locality, one_network, overload};
use crate::address::widen;
use crate::scheduler::{Rotation, Scheduler};

impl Director {
    /// Makes a service what is wanted, new or not, by these changes.
    pub(super) fn upsert_service(
        &mut self,
        id: ServiceId,
        wanted: Wanted,
        changes: &Changes,
    ) -> Result<(), Refusal> {
        let key = keys::key(&id);
        let known = self.services.index(&id);
        let new = self.services.find(&id).is_none();
        let begins = new || changes.begins_anew;
        let index = match known {
            Some(index) => index,
            None => self.allocator.allocate(MapKind::Services, 1)?,
        };
        let mut fresh = Vec::new();
        let written = self
            .assign_indexes(index, &wanted, changes, &mut fresh)
            .and_then(|members| {
                let pools = self.assign_source_pools(&wanted)?;
                let rotation = self.rotation(index, &wanted, changes);
                let plan = self.write_plan(index, &id, &wanted, &members, rotation)?;
                Ok((members, pools, plan, rotation))
            });
        let (members, pools, plan, rotation) = match written {
            Ok(written) => written,
            Err(refusal) => {
                for server in fresh {
                    self.free_server(server);
                }
                if known.is_none() {
                    self.allocator.free(MapKind::Services, index, 1);
                }
                return Err(refusal);
            }
        };
        if begins {
            self.start_counting(index);
        } else {
            self.statistics.zero_servers(fresh.iter().copied());
        }
        for ((member, pool), (_, settings)) in members.iter().zip(pools).zip(&wanted.servers) {
            self.servers.set_way(member.server, pool, settings.tunnel);
        }
        for ((server, settings), member) in wanted.servers.iter().zip(&members) {
            let hop = self.hops.number(server.address());
            self.servers.undelete(member.server, settings.weight, hop);
            if holds_servers(settings.method) {
                self.filter.add(&widen(server.address()));
            }
        }
        if let ServiceId::Address { .. } = id {
            self.filter.add(&key.address);
            if serves(&key) {
                ftp::publish(&self.maps.config, true);
            }
        }
        let before = self.services.get(index).filter(|service| !service.deleted);
        let before = before.map(|service| &service.wanted);
        one_network::warn_of_new(&id, before, &wanted, &mut self.own_networks);
        self.publisher.switch(index, plan);
        // Packets that go by the plan before would set again what is changed here.
        self.follow_thresholds(index, changes);
        self.forget_localities(index, &id, &wanted, changes);
        let deleted = Service::deleted(id, plan, &wanted);
        let service = Service {
            id,
            deleted: false,
            plan,
            wanted,
            members,
            rotation,
        };
        self.replace_service(index, service);
        self.follow_weights(index);
        if new {
            if let Err(error) = self.keys.insert(key, index) {
                error!("{error}: {id:?} was not added");
                self.replace_service(index, deleted);
                return Err(error.into());
            }
            self.index_mark_of(&id)?;
        }
        Ok(())
    }

    /// Starts the counters of a service that is added at zero, and those of its servers that come back from
    /// the trash: it is another service now, as for `__ip_vs_update_dest`. (The index may have been one of
    /// another identity.)
    pub(super) fn start_counting(&mut self, index: u32) {
        self.statistics.zero_service(index);
        self.statistics.zero_servers(self.servers.of_service(index));
    }

    /// Deletes a service; its connections keep its index and its servers' until they are gone.
    pub(super) fn remove_service(&mut self, id: ServiceId) -> Result<(), Refusal> {
        let Some((index, service)) = self.services.find(&id) else {
            return Ok(());
        };
        let wanted = service.wanted.without_servers();
        // Without members nothing can be picked, and the key in it says whose the index is.
        let plan = self.write_plan(index, &id, &wanted, &[], Rotation::default())?;
        if let Err(error) = self.keys.remove(keys::key(&id)) {
            self.retire_plan(plan);
            return Err(error.into());
        }
        self.publisher.switch(index, plan);
        self.replace_service(index, Service::deleted(id, plan, &wanted));
        self.index_mark_of(&id)
    }

    /// Position of a service's scheduler after these changes of its pool; of another scheduler, or of a new service,
    /// its beginning.
    fn rotation(&self, index: u32, wanted: &Wanted, changes: &Changes) -> Rotation {
        let scheduler = Scheduler::from_name(&wanted.settings.scheduler);
        let Some(scheduler) = scheduler.filter(|it| it.pick() == Pick::Rotate) else {
            return Rotation::default();
        };
        let ticket = self.maps.program_lookups.ticket(index);
        let same = |service: &&Service| service.wanted.settings.scheduler == scheduler.name();
        let before = self.services.get(index).filter(same);
        let (rotation, pool) = match (changes.first_pool(), before) {
            (Some(pool), _) => (Rotation::begun(ticket, pool), pool.to_vec()),
            (None, Some(service)) => (service.rotation, service.wanted.pool()),
            (None, None) => (Rotation::begun(ticket, &[]), Vec::new()),
        };
        rotation.after(scheduler, &pool, &changes.pool(), ticket)
    }

    /// Marks servers whose thresholds change, be it on the way, overloaded or not.
    fn follow_thresholds(&mut self, index: u32, changes: &Changes) {
        for change in &changes.servers {
            let (ServerChange::Added(server, settings) | ServerChange::Edited(server, settings)) =
                change
            else {
                continue;
            };
            let Some(server) = self.servers.find(index, *server) else {
                continue;
            };
            let thresholds = (settings.lower, settings.upper);
            if self.servers.set_thresholds(server, thresholds) != thresholds {
                overload::follow(&self.maps.loads, server, thresholds);
            }
        }
    }

    /// Has lblc and lblcr begin without the servers of destinations that an earlier one remembered.
    fn forget_localities(&self, index: u32, id: &ServiceId, wanted: &Wanted, changes: &Changes) {
        if !locality::remembers(&wanted.settings) {
            return;
        }
        let before = self.services.get(index).filter(|before| !before.deleted);
        let same = before.is_some_and(|before| {
            before.wanted.settings.scheduler == wanted.settings.scheduler && !changes.forgets()
        });
        if !same {
            self.maps
                .localities
                .forget_service(index, locality::destination(id));
        }
    }

    fn write_plan(
        &mut self,
        index: u32,
        id: &ServiceId,
        wanted: &Wanted,
        members: &[Assigned],
        rotation: Rotation,
    ) -> Result<u32, Refusal> {
        let is_local = |server: &ServerId| self.hops.is_local(server.address());
        let mut layout = Layout::new(index, id, wanted, members, is_local)?;
        let filter = wanted.settings.filter.as_ref();
        let filter = self
            .filters
            .acquire(filter, id.family(), &mut self.allocator)?;
        layout.plan.filter = filter;
        if layout.plan.pick == Pick::Rotate as u8 {
            rotation.turn(&mut layout.slots);
        }
        let written = self.publisher.write(&layout, &mut self.allocator);
        if written.is_err() {
            self.filters.release(filter, &mut self.allocator);
        }
        written
    }

    /// Frees a plan that is no longer in force, after a grace period.
    pub(super) fn retire_plan(&mut self, number: u32) {
        if let Some(plan) = self.maps.plans.read(number) {
            self.filters.release(plan.filter, &mut self.allocator);
        }
        self.publisher.retire(number, &mut self.allocator);
    }

    /// Replaces the record of a service whose plan was just switched to; servers that are no longer members
    /// are deleted.
    fn replace_service(&mut self, index: u32, service: Service) {
        let kept: HashSet<u32> = service.indexes().collect();
        let plan = service.plan;
        let on_down = self.on_delete(service.wanted.settings.on_down.unwrap_or_default());
        let Some(before) = self.services.insert(index, service) else {
            return;
        };
        for server in before.indexes().filter(|server| !kept.contains(server)) {
            self.servers.mark_deleted(server);
            // It is sampled no longer: if it returns, its growth begins then.
            self.statistics.forget_server(server);
            // No new connection is scheduled to it any more.
            if on_down != OnDown::Keep {
                self.set_down(server, on_down);
            }
        }
        if before.plan != plan {
            self.retire_plan(before.plan);
        }
    }

    /// A server index for each wanted server: its own, a deleted one's with the same address, or a new
    /// one, which is added to `fresh`.
    fn assign_indexes(
        &mut self,
        service: u32,
        wanted: &Wanted,
        changes: &Changes,
        fresh: &mut Vec<u32>,
    ) -> Result<Vec<Assigned>, Refusal> {
        let mut members = Vec::with_capacity(wanted.servers.len());
        for (id, settings) in &wanted.servers {
            let address = canonical(id.0);
            let server = if let Some(known) = self.servers.find(service, address) {
                known
            } else {
                self.broadcasts.refuse(address.ip())?;
                let new = self.allocate_server(service, address)?;
                fresh.push(new);
                new
            };
            let before = || {
                let members = &self.services.get(service)?.members;
                let member = members.iter().find(|member| member.server == server)?;
                Some(member.last_weight)
            };
            let last_weight = match settings.weight {
                0 => changes.last_weight(address).or_else(before).unwrap_or(0),
                weight => weight,
            };
            members.push(Assigned {
                server,
                last_weight,
            });
        }
        Ok(members)
    }

    /// The number of the source pool for each wanted server.
    fn assign_source_pools(&mut self, wanted: &Wanted) -> Result<Vec<u32>, Refusal> {
        let servers = wanted.servers.iter();
        let pools = servers.map(|(id, settings)| {
            let ipv4 = id.address().is_ipv4();
            self.source_pools
                .number(settings.snat, ipv4, &mut self.allocator)
        });
        pools.collect()
    }

    fn allocate_server(&mut self, service: u32, address: SocketAddr) -> Result<u32, Refusal> {
        if self.allocator.is_full(MapKind::Servers) {
            self.empty_trash(true);
        }
        let server = self.allocator.allocate(MapKind::Servers, 1)?;
        self.maps.loads.write(server, Load::new_zeroed());
        self.syn_retries.zero(server);
        let hop = self.hops.number(address.ip());
        self.servers.insert(server, service, address, hop);
        Ok(server)
    }

    /// Has the packets that carry a service's mark find it, or no longer.
    fn index_mark_of(&mut self, id: &ServiceId) -> Result<(), Refusal> {
        if let ServiceId::Mark { mark, family } = *id {
            self.marks
                .index_mark(mark, family, &self.services, &mut self.keys)?;
        }
        Ok(())
    }
}
