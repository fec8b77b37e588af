//! A virtual service as it is configured, for the comparison with another director.

use std::time::Duration;

use lvs_api::health::State;
use lvs_api::model::{ServerId, ServerSettings, ServiceId, ServiceSettings};

use crate::server::Server;
use crate::service::Service;

/// A virtual service of the configuration, whatever of it the tables have at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredService {
    /// Its identity, as the tables have it.
    pub id: ServiceId,
    /// Its settings.
    pub settings: ServiceSettings,
    /// Its real servers, with their configured weights.
    pub servers: Vec<(ServerId, ServerSettings)>,
    /// Its fallback servers.
    pub fallbacks: Vec<(ServerId, ServerSettings)>,
    /// The result of this director's own health checks.
    pub reach: Reach,
    /// The longest time from one probe of a server to the next.
    pub interval: Duration,
}

/// The reach of a service: whether any real server of it is reached from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is not known: they were not probed here, or not yet, or all are taken out of service.
    Unknown,
    /// One at least.
    Some,
    /// None.
    None,
}

impl ConfiguredService {
    pub(crate) fn of(service: &Service) -> Self {
        let configured = &service.configured;
        let servers = configured.servers.iter();
        let rhythms = servers.clone().map(|server| server.rhythm);
        let intervals = rhythms.map(|rhythm| rhythm.interval.max(rhythm.down));
        let fallbacks = configured.fallbacks.iter();
        Self {
            id: configured.id,
            settings: configured.settings.clone(),
            servers: servers.map(|it| (it.id, it.settings)).collect(),
            fallbacks: fallbacks.map(|it| (it.id, it.settings)).collect(),
            reach: reach(&service.servers),
            interval: intervals.max().unwrap_or_default(),
        }
    }
}

/// The reach of these servers, by their own probes.
pub(crate) fn reach(servers: &[Server]) -> Reach {
    if servers.iter().any(Server::is_reached) {
        return Reach::Some;
    }
    let mut probed = servers.iter().filter(|server| !server.is_out()).peekable();
    let down = |server: &Server| !server.is_paused() && server.state() == State::Down;
    if probed.peek().is_some() && probed.all(down) {
        return Reach::None;
    }
    Reach::Unknown
}
