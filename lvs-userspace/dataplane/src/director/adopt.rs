//! Reads the tables back from the maps.
//!
//! The writer stores in an order that leaves nothing ambiguous wherever it dies:
//!
//! - a published plan whose key packets cannot find is a deleted service (or one whose addition was
//!   not finished, which nobody was told of);
//! - a server in no plan of a configured service is a deleted one.

use std::collections::HashMap;
use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use lvs_common::abi::{Hop, Plan, Server, ServiceKey};
use tracing::{info, warn};

use super::hops::Known;
use super::marks::Rules;
use super::room::Of;
use super::trash::Deleted;
use super::{Director, Placed, RealServer, Service, Wanted, keys};
use crate::address::narrow;
use crate::kernel::KernelError;
use crate::scheduler::Scheduler;
use lvs_api::model::{Persistence, ServerId, ServerSettings, ServiceSettings, Tunnel};

impl Director {
    pub(super) fn adopt(&mut self) -> Result<(), KernelError> {
        let mut found: HashMap<ServiceKey, u32> = self.keys.all()?.into_iter().collect();
        self.rules = Rules::adopt(&mut found);
        self.adopt_servers();
        for index in 0..self.maps.heads.len() {
            let number = self.maps.heads.read(index).unwrap_or(0);
            if number == 0 {
                continue;
            }
            let service = self
                .maps
                .plans
                .read(number)
                .and_then(|plan| self.adopt_plan(index, number, &plan, &mut found));
            if service.is_none() {
                warn!("service {index}: its plan makes no sense, it is removed");
                self.publish(index, 0);
            }
        }
        for key in found.into_keys() {
            warn!(
                "a virtual service without a plan is removed: {:?}",
                keys::service(&key)
            );
            self.keys.remove(key)?;
        }
        let members = self
            .live()
            .flat_map(|(_, service)| &service.members)
            .map(|member| member.server)
            .collect();
        self.bury_all_but(&members);
        if !self.services.is_empty() {
            let deleted = self
                .servers
                .values()
                .filter(|server| server.deleted.is_some())
                .count();
            info!(
                "found {} virtual services with {} real servers, and {deleted} deleted ones with connections",
                self.live().count(),
                members.len()
            );
        }
        Ok(())
    }

    /// Takes over one plan with all it refers to.
    fn adopt_plan(
        &mut self,
        index: u32,
        number: u32,
        plan: &Plan,
        found: &mut HashMap<ServiceKey, u32>,
    ) -> Option<()> {
        let id = keys::service(&plan.key)?;
        let scheduler = Scheduler::from_number(plan.scheduler)?;
        if plan.service != index || self.by_id.contains_key(&id) {
            return None;
        }
        let mut servers = Vec::new();
        let mut members = Vec::new();
        for place in plan.members..plan.members.checked_add(plan.member_count)? {
            let member = self.maps.members.read(place)?;
            let server = self
                .servers
                .get(&member.server)
                .filter(|server| server.service == index)?;
            let settings = ServerSettings {
                method: keys::method(member.configured),
                weight: member.weight,
                upper: member.upper,
                lower: member.lower,
                tunnel: Tunnel::Ipip,
            };
            servers.push((ServerId(server.address), settings));
            members.push(Placed {
                server: member.server,
                last_weight: member.last_weight,
            });
        }
        // What overlaps with another plan's would be given away twice.
        let reserved = self.room.reserve(Of::Services, index, 1)
            && self.room.reserve(Of::Plans, number, 1)
            && self
                .room
                .reserve(Of::Members, plan.members, plan.member_count)
            && self.room.reserve(Of::Slots, plan.slots, plan.slot_count);
        if !reserved {
            return None;
        }
        let deleted = found.remove(&plan.key) != Some(index);
        let mut wanted = Wanted {
            settings: settings(plan, scheduler),
            servers,
        };
        if deleted {
            wanted.servers.clear();
            members.clear();
        }
        self.by_id.insert(id, index);
        self.services.insert(
            index,
            Service {
                id,
                deleted,
                plan: number,
                wanted,
                members,
            },
        );
        Some(())
    }

    fn adopt_servers(&mut self) {
        for index in 0..self.maps.servers.len() {
            let Some(server) = self.maps.servers.read(index) else {
                continue;
            };
            if !matches!(server.family, 4 | 6) {
                continue;
            }
            let address =
                SocketAddr::new(narrow(&server.address, server.family), server.port.get());
            self.room.reserve(Of::Servers, index, 1);
            self.servers.insert(
                index,
                RealServer {
                    service: server.service,
                    address,
                    deleted: None,
                    down: server.flags & Server::DOWN != 0,
                },
            );
            self.look_at_repeats(index);
            self.by_server.insert((server.service, address), index);
            self.adopt_hop(address, &server);
        }
        self.unite_hops();
    }

    fn adopt_hop(&mut self, address: SocketAddr, server: &Server) {
        let Some(hop) = self.maps.hops.read(server.hop).filter(|_| server.hop != 0) else {
            return;
        };
        // Servers at one address share a hop.
        if self.hops.0.contains_key(&address.ip()) || !self.room.reserve(Of::Hops, server.hop, 1) {
            return;
        }
        let local = hop.flags & Hop::LOCAL != 0;
        let text = if local {
            "the director itself".to_owned()
        } else {
            describe(&hop)
        };
        self.hops.0.insert(
            address.ip(),
            Known {
                number: server.hop,
                local,
                text,
                lost: None,
            },
        );
    }

    /// A daemon that died while it changed a hop left some of an address' servers with the old one.
    fn unite_hops(&self) {
        for (&index, server) in &self.servers {
            let number = self.hops.number(&server.address.ip());
            if let Some(word) = self.maps.servers.word(index, offset_of!(Server, hop)) {
                word.store(number, Ordering::Release);
            }
        }
    }

    fn bury_all_but(&mut self, members: &std::collections::HashSet<u32>) {
        let gone: Vec<u32> = self
            .servers
            .keys()
            .filter(|server| !members.contains(server))
            .copied()
            .collect();
        for server in gone {
            if let Some(record) = self.servers.get_mut(&server) {
                record.deleted = Some(Deleted::default());
            }
            self.set_server_flags(server);
        }
        let up: Vec<u32> = self
            .live()
            .flat_map(|(_, service)| service.wanted.servers.iter().zip(&service.members))
            .filter(|((_, settings), _)| settings.weight > 0)
            .map(|(_, member)| member.server)
            .collect();
        for server in up {
            if let Some(record) = self.servers.get_mut(&server) {
                record.down = false;
            }
        }
        for &server in members {
            self.set_server_flags(server);
        }
    }
}

fn settings(plan: &Plan, scheduler: Scheduler) -> ServiceSettings {
    ServiceSettings {
        scheduler: scheduler.name().to_owned(),
        scheduler_flags: plan.flags & (Plan::FLAG_1 | Plan::FLAG_2 | Plan::FLAG_3),
        persistence: (plan.persistence != 0).then_some(Persistence {
            timeout: plan.persistence,
            prefix: plan.prefix,
        }),
        one_packet: plan.flags & Plan::ONE_PACKET != 0,
        redispatch: Some(plan.flags & Plan::REDISPATCH != 0),
        engine: None,
    }
}

/// A hop for people.
fn describe(hop: &Hop) -> String {
    let name = nix::net::if_::if_indextoname(hop.interface)
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| format!("interface {}", hop.interface));
    format!(
        "{name} {}",
        hop.destination.map(|byte| format!("{byte:02x}")).join(":")
    )
}
