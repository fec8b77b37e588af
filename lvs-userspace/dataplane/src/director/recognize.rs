//! Finds this director's own service and real server for a connection of another director.

use std::net::SocketAddr;

use lvs_api::model::{Family, Method, ServiceId};
use lvs_common::abi::{Method as Way, Server, ServiceKey};
use lvs_common::connection::{Protocol, Record, Servers as _};
use lvs_common::ftp::{CONTROL, DATA, FIRST_PORT, is_data};

use super::keys;
use super::parts::Director;
use super::services::Service;

/// Reasons why another director's connection has no real server here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrecognized {
    /// There is no such virtual service.
    NoService,
    /// The virtual service has no such real server.
    NoServer,
}

/// This director's own part of a connection of another one.
#[derive(Clone, Copy, Debug)]
pub struct Recognized {
    /// Server, service and method here.
    pub record: Record,
    /// Key of the service.
    pub service: ServiceKey,
    /// The real server.
    pub server: Server,
    /// The service keeps calls together, not clients.
    pub by_call_id: bool,
}

/// The bits of a record that the filter of its service and its timeouts set.
fn service_bits(service: &Service) -> u8 {
    let filter = service.wanted.settings.filter.as_ref();
    let limits = filter.map(|filter| filter.limits).unwrap_or_default();
    let set = |limit, bit| if limit == 0 { 0 } else { bit };
    let timeouts = service.wanted.settings.timeouts.unwrap_or_default();
    set(limits.open, Record::COUNTED)
        | set(limits.packets_per_second, Record::PACED)
        | set(
            timeouts.tcp | timeouts.tcp_fin | timeouts.udp,
            Record::OWN_TIMEOUT,
        )
}

impl Director {
    /// The virtual service and real server of a connection, by the mark (0: none) and, with a protocol, by
    /// their addresses (`ip_vs_service_find`). How packets are forwarded is decided by this director's own
    /// tables, as IPVS does.
    pub fn recognize(
        &self,
        mark: u32,
        protocol: Option<Protocol>,
        virtual_address: SocketAddr,
        server: SocketAddr,
    ) -> Result<Recognized, Unrecognized> {
        let family = match virtual_address {
            SocketAddr::V4(_) => Family::Ipv4,
            SocketAddr::V6(_) => Family::Ipv6,
        };
        let marked = (mark != 0).then_some(ServiceId::Mark { mark, family });
        let port = virtual_address.port();
        // FTP's data connections, see `forward/service.rs` of `lvs_common`.
        let data = protocol == Some(Protocol::Tcp) && (port == DATA.get() || port >= FIRST_PORT);
        let ports = [port, if data { CONTROL.get() } else { 0 }, 0];
        let addressed = protocol.into_iter().flat_map(|protocol| {
            ports.map(|port| ServiceId::Address {
                protocol: protocol.into(),
                address: SocketAddr::new(virtual_address.ip(), port),
            })
        });
        let mut all = marked.into_iter().chain(addressed);
        let found = all.find_map(|id| self.services.find(&id));
        let (index, service) = found.ok_or(Unrecognized::NoService)?;
        let is_data = is_data(&keys::key(&service.id), port.into());
        // Whatever port of the server it has, it goes with the control connection.
        let control = is_data
            .then(|| service.servers().map(|(id, ..)| id.0))
            .and_then(|mut servers| servers.find(|own| own.ip() == server.ip()));
        self.recognize_server((index, service), control.unwrap_or(server))
    }

    /// The real server of a virtual service, both by what identifies them on every director: addresses
    /// and ports, or the mark.
    pub fn recognize_named(
        &self,
        service: &ServiceKey,
        server: SocketAddr,
    ) -> Result<Recognized, Unrecognized> {
        let id = keys::service(service).ok_or(Unrecognized::NoService)?;
        let found = self.services.find(&id).ok_or(Unrecognized::NoService)?;
        self.recognize_server(found, server)
    }

    fn recognize_server(
        &self,
        (index, service): (u32, &Service),
        server: SocketAddr,
    ) -> Result<Recognized, Unrecognized> {
        // A server of port 0 is sent whatever port the packets have.
        let found = [server.port(), 0].into_iter().find_map(|port| {
            let number = self
                .servers
                .find(index, SocketAddr::new(server.ip(), port))?;
            Some((number, self.method(service, number)?))
        });
        let (number, method) = found.ok_or(Unrecognized::NoServer)?;
        let settings = &service.wanted.settings;
        // Which call a connection is of is not known of other directors' connections.
        let persistence = match (&settings.engine, settings.persistence) {
            (None, Some(persistence)) => persistence.prefix + 1,
            _ => 0,
        };
        let record = self.maps.loads.new_record(number, index, Way::Direct);
        Ok(Recognized {
            record: record.with(
                keys::raw_method(method) | service_bits(service),
                persistence,
            ),
            service: keys::key(&service.id),
            by_call_id: settings.engine.is_some(),
            server: self
                .maps
                .servers
                .read(number)
                .ok_or(Unrecognized::NoServer)?,
        })
    }

    /// Forwarding method of a service's server; `None` if it is no longer one.
    fn method(&self, service: &Service, server: u32) -> Option<Method> {
        let mut servers = service.servers();
        let (id, settings, _) = servers.find(|(.., member)| member.server == server)?;
        Some(if self.hops.is_local(id.address()) {
            Method::Local
        } else {
            settings.method
        })
    }
}
