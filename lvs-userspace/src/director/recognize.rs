//! Which of this director's real servers a connection of another director goes to.

use std::net::SocketAddr;

use lvs_common::abi::{Server, ServiceKey};
use lvs_common::connection::{Protocol, Record};

use super::{Director, Service, keys};
use crate::model::{Method, ServiceId};
use crate::sync::Discard;

/// What is this director's own about a connection of another one.
#[derive(Clone, Copy, Debug)]
pub struct Recognized {
    /// Server, service and method here.
    pub record: Record,
    /// The service's own port; 0: every port.
    pub service_port: u16,
    /// The real server.
    pub server: Server,
}

impl Director {
    /// The virtual service and real server of a connection, by their addresses. How packets are
    /// forwarded is decided by this director's own tables, as IPVS does.
    pub fn recognize(
        &self,
        protocol: Protocol,
        virtual_address: SocketAddr,
        server: SocketAddr,
    ) -> Result<Recognized, Discard> {
        let found = [virtual_address.port(), 0].into_iter().find_map(|port| {
            let address = SocketAddr::new(virtual_address.ip(), port);
            let protocol = protocol.into();
            let id = ServiceId::Address { protocol, address };
            let index = *self.by_id.get(&id)?;
            Some((index, port, self.find(&id)?))
        });
        let (index, service_port, service) = found.ok_or(Discard::NoService)?;
        self.recognize_server((index, service), service_port, server)
    }

    /// The real server of a virtual service, both by what identifies them on every director: addresses
    /// and ports, or the mark.
    pub fn recognize_named(
        &self,
        service: &ServiceKey,
        server: SocketAddr,
    ) -> Result<Recognized, Discard> {
        let id = keys::service(service).ok_or(Discard::NoService)?;
        let index = *self.by_id.get(&id).ok_or(Discard::NoService)?;
        let found = self.find(&id).ok_or(Discard::NoService)?;
        self.recognize_server((index, found), service.port.get(), server)
    }

    fn recognize_server(
        &self,
        (index, service): (u32, &Service),
        service_port: u16,
        server: SocketAddr,
    ) -> Result<Recognized, Discard> {
        // A server of port 0 is sent whatever port the packets have.
        let found = [server.port(), 0].into_iter().find_map(|port| {
            let address = SocketAddr::new(server.ip(), port);
            let number = *self.by_server.get(&(index, address))?;
            Some((number, self.method(service, number)?))
        });
        let (number, method) = found.ok_or(Discard::NoServer)?;
        let number = u16::try_from(number).map_err(|_| Discard::NoServer)?;
        let persistence = service.wanted.settings.persistence;
        Ok(Recognized {
            record: Record {
                server: number,
                service: u16::try_from(index).map_err(|_| Discard::NoService)?,
                method: keys::raw_method(method),
                persistence: persistence.map_or(0, |persistence| persistence.prefix + 1),
            },
            service_port,
            server: self
                .maps
                .servers
                .read(number.into())
                .ok_or(Discard::NoServer)?,
        })
    }

    /// How packets reach a service's server; `None` if it is no longer one.
    fn method(&self, service: &Service, server: u32) -> Option<Method> {
        let position = service.members.iter().position(|m| m.server == server)?;
        let (id, settings) = service.wanted.servers.get(position)?;
        Some(if self.hops.is_local(&id.address()) {
            Method::Local
        } else {
            settings.method
        })
    }
}
