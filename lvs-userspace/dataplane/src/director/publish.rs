//! Writes a service beside the one in force, then switches over.

use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use lvs_common::abi::{self, Load, Server, concern_bit};

use super::room::Of;
use super::wanted::canonical;
use super::{Director, Placed, RealServer, Service, Wanted, keys};
use crate::address::{family, widen};
use lvs_api::model::{Method, ServiceId};
use lvs_api::protocol::{Refusal, RefusalKind};

impl Director {
    /// Makes a service what is wanted, new or not.
    pub(super) fn place(&mut self, id: ServiceId, wanted: Wanted) -> Result<(), Refusal> {
        let key = keys::key(&id);
        let known = self.by_id.get(&id).copied();
        let new = self.find(&id).is_none();
        if new {
            self.check_unmarked(&id)?;
        }
        let index = match known {
            Some(index) => index,
            None => self.take(Of::Services, 1, "virtual services")?,
        };
        let mut fresh = Vec::new();
        let placed = self.seat(index, &wanted, &mut fresh).and_then(|members| {
            let plan = self.write_plan(index, &id, &wanted, &members)?;
            Ok((members, plan))
        });
        let (members, plan) = match placed {
            Ok(placed) => placed,
            Err(refusal) => {
                for server in fresh {
                    self.free_server(server);
                }
                if known.is_none() {
                    self.room.give(Of::Services, index, 1);
                }
                return Err(refusal);
            }
        };
        if known.is_none() {
            // The index may have been another service's.
            self.maps.service_counters.zero(index);
            self.rates.forget_service(index);
        }
        for ((_, settings), member) in wanted.servers.iter().zip(&members) {
            self.revive(member.server, settings.weight);
        }
        if let ServiceId::Address { .. } = id {
            self.set_concern(&key.address);
        }
        for (server, settings) in &wanted.servers {
            if settings.method == Method::Nat {
                self.set_concern(&widen(server.address()));
            }
        }
        self.forget_overload(index, &wanted);
        self.publish(index, plan);
        if new && let Err(error) = self.keys.insert(key, index) {
            // Left as a deleted service, which the trash takes away.
            tracing::error!("{error}: {id:?} was not added");
            let service = Service {
                id,
                deleted: true,
                plan,
                wanted: without_servers(&wanted),
                members: vec![],
            };
            self.by_id.insert(id, index);
            self.replace_service(index, service, &members);
            return Err(Refusal::new(RefusalKind::Internal, error.to_string()));
        }
        self.by_id.insert(id, index);
        self.replace_service(
            index,
            Service {
                id,
                deleted: false,
                plan,
                wanted,
                members,
            },
            &[],
        );
        if new {
            self.lead_marked(&id)?;
        }
        Ok(())
    }

    /// Deletes a service; its connections keep its index and its servers' until they are gone.
    pub(super) fn remove(&mut self, id: ServiceId) -> Result<(), Refusal> {
        let key = keys::key(&id);
        let (Some(&index), Some(service)) = (self.by_id.get(&id), self.find(&id)) else {
            return Ok(());
        };
        let wanted = without_servers(&service.wanted);
        // Without members nothing can be picked, and the key in it says whose the index is.
        let plan = self.write_plan(index, &id, &wanted, &[])?;
        if let Err(error) = self.keys.remove(key) {
            self.give_plan(plan);
            return Err(Refusal::new(RefusalKind::Internal, error.to_string()));
        }
        self.publish(index, plan);
        self.replace_service(
            index,
            Service {
                id,
                deleted: true,
                plan,
                wanted,
                members: Vec::new(),
            },
            &[],
        );
        self.lead_marked(&id)
    }

    /// Puts the record of a service that was just published in the place of the one before; servers
    /// that are no longer members, and those of `also`, are deleted.
    fn replace_service(&mut self, index: u32, service: Service, also: &[Placed]) {
        let before = self.services.insert(index, service);
        let members = self
            .services
            .get(&index)
            .map_or(&[][..], |service| &service.members);
        let kept: std::collections::HashSet<u32> =
            members.iter().map(|member| member.server).collect();
        let gone: Vec<u32> = before
            .iter()
            .flat_map(|before| &before.members)
            .chain(also)
            .map(|member| member.server)
            .filter(|server| !kept.contains(server))
            .collect();
        for server in gone {
            self.bury(server);
        }
        if let Some(before) = before {
            self.retire_plan(before.plan);
        }
    }

    /// A server index for each wanted server: its own, a deleted one's with the same address, or a new
    /// one (told in `fresh`).
    fn seat(
        &mut self,
        index: u32,
        wanted: &Wanted,
        fresh: &mut Vec<u32>,
    ) -> Result<Vec<Placed>, Refusal> {
        let mut members = Vec::with_capacity(wanted.servers.len());
        for (server, settings) in &wanted.servers {
            let address = canonical(server.0);
            let taken = if let Some(&taken) = self.by_server.get(&(index, address)) {
                taken
            } else {
                let taken = self.take_server(index, address)?;
                fresh.push(taken);
                taken
            };
            let before = self
                .services
                .get(&index)
                .into_iter()
                .flat_map(|service| &service.members);
            let last_weight = match settings.weight {
                0 => before
                    .into_iter()
                    .find(|m| m.server == taken)
                    .map_or(0, |m| m.last_weight),
                weight => weight,
            };
            members.push(Placed {
                server: taken,
                last_weight,
            });
        }
        Ok(members)
    }

    fn take_server(&mut self, service: u32, address: SocketAddr) -> Result<u32, Refusal> {
        if self.room.take_would_fail(Of::Servers) {
            self.empty_trash(true);
        }
        let server = self.take(Of::Servers, 1, "real servers")?;
        self.maps.loads.write(
            server,
            Load {
                counts: 0,
                overloaded: 0,
                templates: 0,
            },
        );
        self.maps.server_counters.zero(server);
        self.maps.repeats.write(server, 0);
        self.look_at_repeats(server);
        self.rates.forget_server(server);
        let ip = address.ip();
        let record = Server {
            address: widen(ip),
            port: address.port().into(),
            family: family(&ip),
            flags: Server::DELETED,
            service,
            hop: self.hops.number(&ip),
            reserved: 0,
        };
        self.maps.servers.write(server, record);
        self.servers.insert(
            server,
            RealServer {
                service,
                address,
                deleted: None,
                down: false,
            },
        );
        self.by_server.insert((service, address), server);
        Ok(server)
    }

    /// Switches a service over to a written plan.
    pub(super) fn publish(&self, index: u32, plan: u32) {
        if let Some(head) = self.maps.heads.word(index, 0) {
            head.store(plan, Ordering::Release);
        }
    }

    /// A member again: its connections flow. Who takes new ones is not down either.
    fn revive(&mut self, server: u32, weight: u32) {
        let Some(record) = self.servers.get_mut(&server) else {
            return;
        };
        record.deleted = None;
        record.down &= weight == 0;
        let address = record.address.ip();
        self.set_server_flags(server);
        if let Some(hop) = self.maps.servers.word(server, offset_of!(Server, hop)) {
            hop.store(self.hops.number(&address), Ordering::Release);
        }
    }

    /// Stores the flags of a server; they share their word with port and family, which stay.
    pub(super) fn set_server_flags(&self, server: u32) {
        const WORD: usize = offset_of!(Server, port);
        const _: () = assert!(WORD.is_multiple_of(4) && offset_of!(Server, flags) == WORD + 3);
        let flags = self.servers.get(&server).map_or(0, RealServer::flags);
        if let Some(word) = self.maps.servers.word(server, WORD) {
            let [port_high, port_low, family, _] = word.load(Ordering::Relaxed).to_ne_bytes();
            word.store(
                u32::from_ne_bytes([port_high, port_low, family, flags]),
                Ordering::Release,
            );
        }
    }

    /// From now on the program looks at packets from and to this address.
    pub(super) fn set_concern(&self, address: &abi::Address) {
        let (word, bit) = concern_bit(address);
        let word = u32::try_from(word)
            .ok()
            .and_then(|word| self.maps.concern.double_word(word, 0));
        if let Some(word) = word {
            word.fetch_or(1 << bit, Ordering::Release);
        }
    }

    pub(super) fn take(&mut self, of: Of, length: u32, what: &str) -> Result<u32, Refusal> {
        self.room.take(of, length).ok_or_else(|| {
            Refusal::new(
                RefusalKind::NoRoom,
                format!("there is no room for more {what}"),
            )
        })
    }
}

fn without_servers(wanted: &Wanted) -> Wanted {
    Wanted {
        settings: wanted.settings.clone(),
        servers: Vec::new(),
    }
}
