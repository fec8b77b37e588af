//! Services and real servers as the tables and the health checks have them, side by side.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::health::{AdminState, Health, ServerHealth, ServiceHealth, State};
use crate::model::{Family, ServiceId};
use crate::protocol::{Server, Service, Services};

/// A virtual service.
pub struct ServiceRow<'a> {
    /// As `lvsadm -Ln` has it: `TCP 192.0.2.10:80`, `FWM 1`.
    pub label: String,
    /// Its identity.
    pub id: ServiceId,
    /// Its entry in the tables; none: it is not in them.
    pub entry: Option<&'a Service>,
    /// The result of its health checks; none: nobody checks it.
    pub health: Option<&'a ServiceHealth>,
    /// Its real servers: those of the file in its order, then others.
    pub servers: Vec<ServerRow<'a>>,
}

/// A real server.
pub struct ServerRow<'a> {
    /// Address and port.
    pub label: String,
    /// Address and port.
    pub address: SocketAddr,
    /// Its entry in the tables; none: it is not in them.
    pub entry: Option<&'a Server>,
    /// The result of its health checks; none: nobody checks it.
    pub health: Option<&'a ServerHealth>,
}

/// State of a real server, its operator's override included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Its health checks pass.
    Up,
    /// Its health checks fail.
    Down,
    /// No health check has an outcome yet.
    Unknown,
    /// An operator keeps new connections from it.
    Drain,
    /// An operator keeps traffic and health checks from it.
    Maint,
    /// Nobody checks it.
    Unchecked,
}

impl Shown {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Up,
        Self::Down,
        Self::Unknown,
        Self::Drain,
        Self::Maint,
        Self::Unchecked,
    ];

    /// Its name, as it is listed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Drain => "drain",
            Self::Maint => "maint",
            Self::Unchecked => "unchecked",
        }
    }
}

impl ServiceRow<'_> {
    /// `servicename` of the file.
    pub fn name(&self) -> &str {
        self.health
            .and_then(|health| health.name.as_deref())
            .unwrap_or("")
    }

    /// Number of real servers in this state.
    pub fn count(&self, state: Shown) -> usize {
        self.servers
            .iter()
            .filter(|server| server.state() == state)
            .count()
    }
}

impl ServerRow<'_> {
    /// Its state.
    pub fn state(&self) -> Shown {
        let Some(health) = self.health else {
            return Shown::Unchecked;
        };
        match (health.admin, health.state) {
            _ if health.maintenance => Shown::Maint,
            (AdminState::Maint, _) => Shown::Maint,
            (_, State::Down) => Shown::Down,
            (AdminState::Drain, _) => Shown::Drain,
            (_, State::Up) => Shown::Up,
            (_, State::Unknown) => Shown::Unknown,
        }
    }

    /// Name that it was given by.
    pub fn name(&self) -> &str {
        self.health
            .and_then(|health| health.name.as_deref())
            .unwrap_or("")
    }

    /// Weight in the tables; 0: it gets no new connections.
    pub fn weight(&self) -> u32 {
        self.entry.map_or(0, |entry| entry.settings.weight)
    }
}

/// All services: those of the file in its order, then others in the order of the tables.
pub fn rows<'a>(services: &'a Services, health: Option<&'a Health>) -> Vec<ServiceRow<'a>> {
    let entries: HashMap<_, _> = services.services.iter().map(|it| (it.id, it)).collect();
    let checked = health.iter().flat_map(|health| &health.services);
    let mut rows: Vec<_> = checked
        .map(|health| service_row(health.id, entries.get(&health.id).copied(), Some(health)))
        .collect();
    let known: HashSet<_> = rows.iter().map(|row| row.id).collect();
    let others = services
        .services
        .iter()
        .filter(|it| !known.contains(&it.id));
    rows.extend(others.map(|entry| service_row(entry.id, Some(entry), None)));
    rows
}

fn service_row<'a>(
    id: ServiceId,
    entry: Option<&'a Service>,
    health: Option<&'a ServiceHealth>,
) -> ServiceRow<'a> {
    let listed = entry.iter().flat_map(|entry| &entry.servers);
    let listed: HashMap<_, _> = listed.clone().map(|server| (server.id.0, server)).collect();
    let checked = health.iter().flat_map(|health| &health.servers);
    let mut servers: Vec<_> = checked
        .map(|health| {
            server_row(
                health.address,
                listed.get(&health.address).copied(),
                Some(health),
            )
        })
        .collect();
    let known: HashSet<_> = servers.iter().map(|row| row.address).collect();
    let others = entry
        .iter()
        .flat_map(|entry| &entry.servers)
        .filter(|it| !known.contains(&it.id.0));
    servers.extend(others.map(|entry| server_row(entry.id.0, Some(entry), None)));
    ServiceRow {
        label: service_label(&id),
        id,
        entry,
        health,
        servers,
    }
}

fn server_row<'a>(
    address: SocketAddr,
    entry: Option<&'a Server>,
    health: Option<&'a ServerHealth>,
) -> ServerRow<'a> {
    ServerRow {
        label: address.to_string(),
        address,
        entry,
        health,
    }
}

/// A virtual service as it is listed.
pub fn service_label(id: &ServiceId) -> String {
    match id {
        ServiceId::Address { protocol, address } => {
            format!("{} {address}", protocol.name())
        }
        ServiceId::Mark {
            mark,
            family: Family::Ipv4,
        } => format!("FWM {mark}"),
        ServiceId::Mark {
            mark,
            family: Family::Ipv6,
        } => format!("FWM {mark} IPv6"),
    }
}
