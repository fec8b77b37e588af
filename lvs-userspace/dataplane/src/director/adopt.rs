//! Reads the tables back from the maps.
//!
//! The writer stores in an order that leaves nothing ambiguous wherever it dies:
//!
//! - a published plan whose key packets cannot find is a deleted service (or one whose addition was
//!   not finished, which nobody was told of);
//! - a server in no plan of a configured service is a deleted one.

use std::collections::{HashMap, HashSet};

use lvs_api::model::{ServerId, ServerSettings};
use lvs_common::abi::{Pick, Plan, ServiceKey};
use tracing::{info, warn};

use super::allocator::MapKind;
use super::parts::Director;
use super::plan::candidates;
use super::services::{Assigned, Service};
use super::wanted::Wanted;
use super::{keys, plan};
use crate::kernel::KernelError;
use crate::scheduler::{Rotation, Scheduler};

impl Director {
    pub(super) fn adopt(&mut self) -> Result<(), KernelError> {
        let mut found: HashMap<ServiceKey, u32> = self.keys.all()?.into_iter().collect();
        self.marks.adopt(&self.keys)?;
        self.adopt_servers();
        for index in 0..self.maps.active_plans.len() {
            let number = self.maps.active_plans.read(index).unwrap_or(0);
            if number != 0 && self.adopt_service(index, number, &mut found).is_none() {
                warn!("service {index}: its plan makes no sense, it is removed");
                self.publisher.switch(index, 0);
            }
        }
        for key in found.into_keys() {
            warn!(
                "a virtual service without a plan is removed: {:?}",
                keys::service(&key)
            );
            self.keys.remove(key)?;
        }
        let members = self.adopt_members();
        if self.services.all().next().is_some() {
            info!(
                "found {} virtual services with {members} real servers, and {} deleted ones with connections",
                self.services.configured().count(),
                self.servers.deleted().count()
            );
        }
        self.marks.index_marks(&self.services, &mut self.keys)
    }

    /// Takes over a service with all its plan refers to; `None`: the plan makes no sense.
    fn adopt_service(
        &mut self,
        index: u32,
        number: u32,
        found: &mut HashMap<ServiceKey, u32>,
    ) -> Option<()> {
        let plan = self.maps.plans.read(number)?;
        let id = keys::service(&plan.key)?;
        let mut settings = plan::service_settings(&plan)?;
        if plan.service != index || self.services.index(&id).is_some() {
            return None;
        }
        let (servers, members): (_, Vec<_>) = self.members(index, &plan)?.into_iter().unzip();
        // What overlaps with another plan's would be allocated twice.
        let reserved = self.allocator.reserve(MapKind::Services, index, 1)
            && self.publisher.reserve(number, &mut self.allocator);
        if !reserved {
            return None;
        }
        let filter = self
            .filters
            .adopt(plan.filter, id.family(), &mut self.allocator)?;
        settings.filter = Some(filter);
        let wanted = Wanted { settings, servers };
        let service = if found.remove(&plan.key) == Some(index) {
            Service {
                id,
                deleted: false,
                plan: number,
                rotation: self.adopt_rotation(&plan, &wanted, &members),
                wanted,
                members,
            }
        } else {
            Service::deleted(id, number, &wanted)
        };
        self.services.insert(index, service);
        self.publisher.adopt_tree(number);
        Some(())
    }

    /// How far the table is turned that a rotating scheduler goes on with.
    fn adopt_rotation(&self, plan: &Plan, wanted: &Wanted, members: &[Assigned]) -> Rotation {
        let scheduler = Scheduler::from_number(plan.scheduler());
        match scheduler.filter(|it| it.pick() == Pick::Rotate) {
            Some(scheduler) => Rotation::of_table(
                &scheduler.table(&candidates(wanted, members)),
                &self.publisher.slots(plan),
            ),
            None => Rotation::default(),
        }
    }

    /// The members of a plan; `None` if one is no server of its service.
    fn members(
        &mut self,
        index: u32,
        plan: &Plan,
    ) -> Option<Vec<((ServerId, ServerSettings), Assigned)>> {
        let members = plan.members..plan.members.checked_add(plan.member_count)?;
        let (servers, pools) = (&self.servers, &mut self.source_pools);
        let members = members.map(|place| {
            let member = self.maps.members.read(place)?;
            let (service, address) = servers.get(member.server)?;
            let pool = servers.source_pool(member.server);
            let snat = pools.adopt(pool, address.is_ipv4(), &mut self.allocator);
            let assigned = Assigned {
                server: member.server,
                last_weight: member.last_weight,
            };
            let server = (
                ServerId(address),
                plan::server_settings(&member, servers.tunnel(member.server), snat),
            );
            (service == index).then_some((server, assigned))
        });
        members.collect()
    }

    fn adopt_servers(&mut self) {
        for index in 0..self.maps.servers.len() {
            if let Some((address, hop)) = self.servers.adopt(index) {
                self.allocator.reserve(MapKind::Servers, index, 1);
                self.syn_retries.skip(index);
                self.hops.adopt(address, hop, &mut self.allocator);
            }
        }
        // A daemon that died while it changed a hop left some of an address' servers with the old one.
        self.servers.unite_hops(|address| self.hops.number(address));
    }

    /// Deletes the servers that are in no plan of a configured service. Returns how many are in one.
    fn adopt_members(&mut self) -> usize {
        let mut members = HashSet::new();
        for (_, service) in self.services.configured() {
            for (id, settings, member) in service.servers() {
                let hop = self.hops.number(id.address());
                self.servers.undelete(member.server, settings.weight, hop);
                self.servers
                    .set_thresholds(member.server, (settings.lower, settings.upper));
                members.insert(member.server);
            }
        }
        let indexes: Vec<u32> = self.servers.indexes().collect();
        for server in indexes
            .into_iter()
            .filter(|server| !members.contains(server))
        {
            self.servers.mark_deleted(server);
        }
        members.len()
    }
}
