//! The desired state of one virtual service, and the effect of an edit on it. Pure: every refusal that does
//! not depend on how full the tables are is decided here, in the order in which the kernel checks.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use lvs_api::mark::MarkRule;
use lvs_api::model::{
    Checksum, Family, Method, ServerId, ServerSettings, ServiceId, ServiceSettings, Tunnel,
};
use lvs_api::protocol::{Edit, Refusal, RefusalKind};
use lvs_api::snat::Snat;
use lvs_common::abi::MAX_MEMBERS_PER_SERVICE;

use super::timeouts::LONGEST_SECONDS;
use super::{filters, timeouts};
use crate::scheduler::{Pooled, Scheduler};

/// The persistence engine that goes by the Call-ID of SIP messages, the only one that IPVS has.
pub const ENGINE: &str = "sip";

/// A virtual service as the operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its settings.
    pub settings: ServiceSettings,
    /// Its real servers, newest first.
    pub servers: Vec<(ServerId, ServerSettings)>,
}

impl Wanted {
    /// Its servers, as a rotating scheduler sees them.
    pub(super) fn pool(&self) -> Vec<Pooled> {
        let servers = self.servers.iter();
        servers
            .map(|(server, settings)| (canonical(server.0), settings.weight))
            .collect()
    }

    /// The same service without servers.
    pub(super) fn without_servers(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            servers: Vec::new(),
        }
    }
}

/// The service an edit is about; `None` for edits of everything.
pub(super) const fn subject(edit: &Edit) -> Option<&ServiceId> {
    match edit {
        Edit::AddService { service, .. }
        | Edit::EditService { service, .. }
        | Edit::SetFilter { service, .. }
        | Edit::DeleteService { service }
        | Edit::AddServer { service, .. }
        | Edit::EditServer { service, .. }
        | Edit::DeleteServer { service, .. } => Some(service),
        Edit::Flush
        | Edit::Zero { .. }
        | Edit::SetTimeouts(_)
        | Edit::Mark(_)
        | Edit::SetSysctl { .. } => None,
    }
}

/// The settings with what an edit leaves out as it is now.
fn complete(settings: &ServiceSettings, now: Option<&ServiceSettings>) -> ServiceSettings {
    let redispatch = settings
        .redispatch
        .or_else(|| now.and_then(|now| now.redispatch));
    let filter = || now.and_then(|now| now.filter.clone()).unwrap_or_default();
    let on_down = settings.on_down.or_else(|| now.and_then(|now| now.on_down));
    let timeouts = settings
        .timeouts
        .or_else(|| now.and_then(|now| now.timeouts));
    ServiceSettings {
        redispatch: Some(redispatch == Some(true)),
        on_down: Some(on_down.unwrap_or_default()),
        timeouts: Some(timeouts.unwrap_or_default()),
        filter: Some(settings.filter.clone().unwrap_or_else(filter)),
        ..settings.clone()
    }
}

/// The service after an edit of it, from the service before; `None` stands for no service. Other
/// edits leave it as it is.
pub fn after(current: Option<&Wanted>, edit: &Edit) -> Result<Option<Wanted>, Refusal> {
    let no_such_service = || {
        Refusal::new(
            RefusalKind::NoSuchService,
            "there is no such virtual service",
        )
    };
    match edit {
        Edit::AddService { service, settings } => {
            if current.is_some() {
                return Err(Refusal::new(
                    RefusalKind::ServiceExists,
                    "the virtual service exists already",
                ));
            }
            check_service(service, settings)?;
            Ok(Some(Wanted {
                settings: complete(settings, None),
                servers: Vec::new(),
            }))
        }
        Edit::EditService { service, settings } => {
            let current = current.ok_or_else(no_such_service)?;
            check_service(service, settings)?;
            for (_, server) in &current.servers {
                check_one_packet(settings, server)?;
            }
            Ok(Some(Wanted {
                settings: complete(settings, Some(&current.settings)),
                servers: current.servers.clone(),
            }))
        }
        Edit::SetFilter { service, filter } => {
            let mut wanted = current.ok_or_else(no_such_service)?.clone();
            filters::check(filter, service.family())?;
            wanted.settings.filter = Some(filter.clone());
            Ok(Some(wanted))
        }
        Edit::DeleteService { .. } => {
            current.ok_or_else(no_such_service)?;
            Ok(None)
        }
        Edit::AddServer {
            service,
            server,
            settings,
        } => {
            let (mut wanted, server) = with_server(current, service, server, settings)?;
            if wanted.servers.iter().any(|(id, _)| *id == server) {
                return Err(Refusal::new(
                    RefusalKind::ServerExists,
                    "the real server exists already",
                ));
            }
            if wanted.servers.len() >= MAX_MEMBERS_PER_SERVICE as usize {
                let message =
                    format!("a service has at most {MAX_MEMBERS_PER_SERVICE} real servers");
                return Err(Refusal::new(RefusalKind::NoRoom, message));
            }
            wanted.servers.insert(0, (server, *settings));
            Ok(Some(wanted))
        }
        Edit::EditServer {
            service,
            server,
            settings,
        } => {
            let (mut wanted, server) = with_server(current, service, server, settings)?;
            let found = wanted.servers.iter_mut().find(|(id, _)| *id == server);
            found.ok_or_else(no_such_server)?.1 = *settings;
            Ok(Some(wanted))
        }
        Edit::DeleteServer { server, .. } => {
            let mut wanted = current.ok_or_else(not_defined)?.clone();
            let server = canonical(server.0);
            let place = wanted.servers.iter().position(|(id, _)| id.0 == server);
            wanted.servers.remove(place.ok_or_else(no_such_server)?);
            Ok(Some(wanted))
        }
        Edit::Flush => Ok(None),
        Edit::Zero { .. } | Edit::SetTimeouts(_) | Edit::Mark(_) | Edit::SetSysctl { .. } => {
            Ok(current.cloned())
        }
    }
}

/// The service that a real server is added to or edited in, and the server's identity in it.
fn with_server(
    current: Option<&Wanted>,
    service: &ServiceId,
    server: &ServerId,
    settings: &ServerSettings,
) -> Result<(Wanted, ServerId), Refusal> {
    let wanted = current.ok_or_else(not_defined)?.clone();
    check_server(service, server, settings)?;
    check_one_packet(&wanted.settings, settings)?;
    let server = identity(service, server, settings.method);
    Ok((wanted, server))
}

fn not_defined() -> Refusal {
    Refusal::new(
        RefusalKind::ServiceNotDefined,
        "the real server's virtual service is not defined",
    )
}

fn no_such_server() -> Refusal {
    Refusal::new(RefusalKind::NoSuchServer, "there is no such real server")
}

/// An address without the parts of a socket address that identify nothing here.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, 0).into(),
    }
}

/// A service's identity without them.
pub fn canonical_service(service: &ServiceId) -> ServiceId {
    match *service {
        ServiceId::Address { protocol, address } => ServiceId::Address {
            protocol,
            address: canonical(address),
        },
        mark @ ServiceId::Mark { .. } => mark,
    }
}

/// A real server's identity: only NAT can change the port.
pub fn identity(service: &ServiceId, server: &ServerId, method: Method) -> ServerId {
    let mut address = canonical(server.0);
    if let (
        ServiceId::Address {
            address: virtual_address,
            ..
        },
        true,
    ) = (service, method != Method::Nat)
    {
        address.set_port(virtual_address.port());
    }
    ServerId(address)
}

/// Refuses settings that the tables cannot hold for this virtual service.
pub fn check_service(service: &ServiceId, settings: &ServiceSettings) -> Result<(), Refusal> {
    if Scheduler::from_name(&settings.scheduler).is_none() {
        let names = Scheduler::ALL.map(Scheduler::name).join(", ");
        let message = format!(
            "there is no scheduler \"{}\", there are: {names}",
            settings.scheduler
        );
        return Err(Refusal::new(RefusalKind::UnknownScheduler, message));
    }
    if let Some(engine) = settings
        .engine
        .as_deref()
        .filter(|engine| *engine != ENGINE)
    {
        let message = format!("there is no persistence engine \"{engine}\", there is: {ENGINE}");
        return Err(Refusal::new(RefusalKind::UnknownScheduler, message));
    }
    if let Some(filter) = &settings.filter {
        filters::check(filter, service.family())?;
    }
    if let Some(timeouts) = settings.timeouts {
        timeouts::check(timeouts)?;
    }
    if let Some(persistence) = settings.persistence {
        let invalid = |message: &str| Err(Refusal::new(RefusalKind::Invalid, message));
        match service.family() {
            Family::Ipv4 if persistence.prefix > 32 => {
                return invalid("an IPv4 prefix has at most 32 bits");
            }
            Family::Ipv6 if !(1..=128).contains(&persistence.prefix) => {
                return invalid("an IPv6 prefix has 1 to 128 bits");
            }
            _ => {}
        }
        if !(1..=LONGEST_SECONDS).contains(&persistence.timeout) {
            return invalid("persistence lasts 1 to 2678400 seconds");
        }
    }
    Ok(())
}

/// Refuses settings that the tables cannot hold for this real server.
pub fn check_server(
    service: &ServiceId,
    server: &ServerId,
    settings: &ServerSettings,
) -> Result<(), Refusal> {
    let family = if server.0.is_ipv4() {
        Family::Ipv4
    } else {
        Family::Ipv6
    };
    if family != service.family() && settings.method != Method::Tunnel {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            "a real server of another address family can be reached by tunnel only",
        ));
    }
    if settings.weight > i32::MAX.unsigned_abs() {
        return Err(Refusal::new(
            RefusalKind::OutOfRange,
            "the weight is at most 2147483647",
        ));
    }
    if settings.lower > settings.upper {
        return Err(Refusal::new(
            RefusalKind::OutOfRange,
            "the lower threshold is above the upper one",
        ));
    }
    if let Some(snat) = settings.snat {
        check_snat(snat, server, settings.method)?;
    }
    check_tunnel(settings.tunnel)?;
    if settings.method == Method::Local {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            "whether a real server is the director itself is found out, not set",
        ));
    }
    if !is_unicast(server.address()) {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            "the real server's address is not a unicast address",
        ));
    }
    Ok(())
}

/// Refuses an encapsulation that there is not.
fn check_tunnel(tunnel: Tunnel) -> Result<(), Refusal> {
    let invalid = |message| Err(Refusal::new(RefusalKind::Invalid, message));
    match tunnel {
        Tunnel::Gue { port: 0, .. } => {
            invalid("a GUE tunnel needs a destination port, from 1 to 65535")
        }
        Tunnel::Gre {
            checksum: Checksum::Remote,
        } => invalid("GRE has no remote checksum"),
        _ => Ok(()),
    }
}

/// Refuses full NAT without connections.
fn check_one_packet(service: &ServiceSettings, server: &ServerSettings) -> Result<(), Refusal> {
    if service.one_packet && server.snat.is_some() {
        return Err(Refusal::new(
            RefusalKind::NotSupported,
            "one-packet scheduling keeps no connections, which full NAT needs",
        ));
    }
    Ok(())
}

/// Refuses sources that a real server cannot be given.
fn check_snat(snat: Snat, server: &ServerId, method: Method) -> Result<(), Refusal> {
    let invalid = |message| Err(Refusal::new(RefusalKind::NotSupported, message));
    if method != Method::Nat {
        return invalid("only NAT changes the source address: --snat goes with -m (masq)");
    }
    let family = snat.is_ipv4().unwrap_or(server.0.is_ipv4());
    if snat.address_count() == 0 || family != server.0.is_ipv4() {
        return invalid("the source addresses are not of the real server's address family");
    }
    let first = snat.all_addresses().next();
    if snat.addresses.is_some() && !first.is_some_and(is_unicast) {
        return invalid("the source address is not a unicast address");
    }
    if snat
        .ports
        .is_some_and(|(first, last)| first == 0 || first > last)
    {
        return invalid("the source ports are two numbers from 1 to 65535, the lower one first");
    }
    Ok(())
}

/// Returns whether a real server is of another address family than its virtual service.
pub fn mixes_families(service: &ServiceId, server: &ServerId) -> bool {
    (service.family() == Family::Ipv4) != server.0.is_ipv4()
}

/// Returns whether an address can be a real server's.
pub fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && v4.octets()[0] != 0,
        // An IPv4 address in IPv6's clothes is none, as for the kernel (`__ipv6_addr_type`).
        IpAddr::V6(v6) => {
            !v6.is_multicast()
                && !v6.is_unspecified()
                && !v6.is_unicast_link_local()
                && v6.to_ipv4_mapped().is_none()
        }
    }
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;

/// A rule as it is kept.
pub(super) fn canonical_rule(rule: &MarkRule) -> Result<MarkRule, Refusal> {
    rule.canonical()
        .map_err(|why| Refusal::new(RefusalKind::NotSupported, why))
}
