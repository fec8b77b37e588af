//! Real servers.

use std::fmt;

use lvs_api::health::{AdminState, ServerHealth, State};
use lvs_api::protocol::Server;
use lvs_api::rows::{ServerRow, ServiceRow};

use super::encoder::{Families, flag};
use super::services::{bytes, packets};

/// Identity of a real server in its virtual service.
type Labels<'a> = [(&'static str, &'a str); 2];

/// All real servers.
struct Servers<'a>(&'a [ServiceRow<'a>]);

impl<'a> Servers<'a> {
    fn all(&self) -> impl Iterator<Item = (Labels<'a>, &'a ServerRow<'a>)> {
        self.0.iter().flat_map(|service| {
            let servers = service.servers.iter();
            servers.map(|server| {
                (
                    [("service", &*service.label), ("server", &*server.label)],
                    server,
                )
            })
        })
    }

    /// Those in the tables.
    fn listed(&self) -> impl Iterator<Item = (Labels<'a>, &'a Server)> {
        self.all()
            .filter_map(|(labels, server)| Some((labels, server.entry?)))
    }

    /// Those that are checked.
    fn checked(&self) -> impl Iterator<Item = (Labels<'a>, &'a ServerHealth)> {
        self.all()
            .filter_map(|(labels, server)| Some((labels, server.health?)))
    }
}

fn with<'a>(labels: Labels<'a>, key: &'static str, value: &'a str) -> [(&'static str, &'a str); 3] {
    [labels[0], labels[1], (key, value)]
}

pub(super) fn encode(families: &mut Families<'_>, rows: &[ServiceRow<'_>]) -> fmt::Result {
    let servers = Servers(rows);
    traffic(families, &servers)?;
    state(families, &servers)?;
    checks(families, &servers)
}

fn traffic(families: &mut Families<'_>, servers: &Servers<'_>) -> fmt::Result {
    families.counters(
        "lvs_server_connections",
        "Connections that were scheduled to a real server.",
        servers
            .listed()
            .map(|(labels, it)| (labels, it.stats.connections)),
    )?;
    families.counters(
        "lvs_server_packets",
        "Packets of a real server: in from clients, out to them.",
        servers.listed().flat_map(|(labels, it)| {
            packets(&it.stats).map(|(direction, it)| (with(labels, "direction", direction), it))
        }),
    )?;
    families.counters(
        "lvs_server_bytes",
        "Bytes of a real server: in from clients, out to them.",
        servers.listed().flat_map(|(labels, it)| {
            bytes(&it.stats).map(|(direction, it)| (with(labels, "direction", direction), it))
        }),
    )?;
    families.gauges(
        "lvs_server_open_connections",
        "Connections of a real server: active, inactive, and templates of persistent clients.",
        servers.listed().flat_map(|(labels, it)| {
            let states = [
                ("active", it.active),
                ("inactive", it.inactive),
                ("template", it.persistent),
            ];
            states.map(|(state, it)| (with(labels, "state", state), it))
        }),
    )
}

fn state(families: &mut Families<'_>, servers: &Servers<'_>) -> fmt::Result {
    families.gauges(
        "lvs_server_up",
        "1 while the health checks of a real server pass.",
        servers
            .checked()
            .map(|(labels, it)| (labels, flag(it.state == State::Up))),
    )?;
    families.gauges(
        "lvs_server_admin_state",
        "1 for the operator's override of a real server, where there is one: drain or maint.",
        servers.all().filter_map(|(labels, server)| {
            // Also of one that is down.
            let health = server.health?;
            let state = match health.admin {
                _ if health.maintenance => "maint",
                AdminState::Maint => "maint",
                AdminState::Drain => "drain",
                AdminState::Ready => return None,
            };
            Some((with(labels, "state", state), 1))
        }),
    )?;
    families.gauges(
        "lvs_server_weight",
        "Weight of a real server in the tables; 0: it gets no new connections.",
        servers
            .all()
            .map(|(labels, server)| (labels, server.weight())),
    )?;
    families.gauges(
        "lvs_server_configured_weight",
        "Weight of a real server in the configuration.",
        servers
            .checked()
            .map(|(labels, it)| (labels, it.configured)),
    )?;
    families.gauges(
        "lvs_server_state_change_timestamp_seconds",
        "When the state of a real server began; none before its first health check.",
        servers
            .checked()
            .filter(|(_, it)| it.state != State::Unknown)
            .map(|(labels, it)| (labels, it.since)),
    )
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one check")]
fn checks(families: &mut Families<'_>, servers: &Servers<'_>) -> fmt::Result {
    families.counters(
        "lvs_server_checks",
        "Health checks of a real server by result.",
        servers.checked().flat_map(|(labels, it)| {
            let results = [("passed", it.checks_passed), ("failed", it.checks_failed)];
            results.map(|(result, it)| (with(labels, "result", result), it))
        }),
    )?;
    families.gauges(
        "lvs_server_check_duration_seconds",
        "Duration of the last health check of a real server.",
        servers
            .checked()
            .map(|(labels, it)| (labels, it.took_us as f64 / 1e6)),
    )?;
    families.counters(
        "lvs_server_downs",
        "Times that a real server went down.",
        servers
            .checked()
            .map(|(labels, it)| (labels, it.times_down)),
    )?;
    families.counters(
        "lvs_server_down_seconds",
        "Time for which a real server was down.",
        servers
            .checked()
            .map(|(labels, it)| (labels, it.seconds_down)),
    )
}
