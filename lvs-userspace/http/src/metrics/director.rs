//! The director itself: role, interfaces, verdicts, tables, peers, configuration.

use std::fmt;

use lvs_api::health::CheckDurations;
use lvs_api::peers::{PeerState, PeerStatus};
use lvs_api::role::Role;

use super::encoder::{Families, Histogram, NONE, flag};
use crate::snapshot::Snapshot;

pub(super) fn encode(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    build(families, snapshot)?;
    role(families, snapshot)?;
    interfaces(families, snapshot)?;
    tables(families, snapshot)?;
    checks(families, snapshot)?;
    peers(families, &snapshot.peers.peers)?;
    let refused = snapshot.peers.refused.iter();
    families.counters(
        "lvs_peer_sessions_refused",
        "Sessions with other directors that were refused or ended, by reason.",
        refused.map(|it| ([("address", &*it.address), ("reason", &*it.name)], it.count)),
    )?;
    sync(families, snapshot)
}

fn build(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let (status, config) = (&snapshot.status, &snapshot.config);
    let abi = status.abi.to_string();
    families.infos(
        "lvs_build",
        "Version of lvsd.",
        [[("version", &*status.version), ("abi", &*abi)]],
    )?;
    families.infos(
        "lvs_config",
        "Digest of services, real servers and settings, which peers compare.",
        [[("digest", &*config.digest)]],
    )?;
    let successful = config.successful.map(|it| (NONE, flag(it)));
    families.gauges(
        "lvs_config_last_reload_successful",
        "1 if the last attempt to read the configuration succeeded.",
        successful,
    )?;
    families.gauges(
        "lvs_config_last_reload_success_timestamp_seconds",
        "When the configuration in effect was read.",
        config.successful.map(|_| (NONE, config.read_at)),
    )
}

fn role(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let role = &snapshot.role;
    let roles = [Role::Master, Role::Backup];
    families.gauges(
        "lvs_role",
        "1 for the role in force, of master and backup.",
        roles.map(|it| ([("role", it.name())], flag(it == role.role))),
    )?;
    let held = role.addresses.iter().filter(|it| it.held).count();
    families.gauges(
        "lvs_virtual_addresses",
        "Virtual addresses of the group.",
        [(NONE, role.addresses.len())],
    )?;
    families.gauges(
        "lvs_virtual_addresses_held",
        "Virtual addresses that this director holds.",
        [(NONE, held)],
    )?;
    let conflicts = role
        .addresses
        .iter()
        .filter(|it| it.duplicate.is_some())
        .count();
    families.gauges(
        "lvs_virtual_address_conflicts",
        "Virtual addresses that another host holds, too.",
        [(NONE, conflicts)],
    )
}

fn interfaces(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let status = &snapshot.status;
    families.infos(
        "lvs_interface",
        "Where the program runs on an interface: native (XDP, in the driver), tc (behind it), both or none.",
        status.interfaces.iter().map(|it| [("interface", &*it.name), ("mode", &*it.mode)]),
    )?;
    families.counters(
        "lvs_frames_lost",
        "Frames that the kernel did not send after XDP had handed them over.",
        status.lost.iter().map(|it| {
            (
                [("interface", &*it.interface), ("error", &*it.error)],
                it.frames,
            )
        }),
    )?;
    families.counters(
        "lvs_packets",
        "Packets by verdict (lvsadm --verdicts explains them).",
        snapshot
            .verdicts
            .iter()
            .map(|it| ([("verdict", &*it.name)], it.packets)),
    )?;
    families.gauges(
        "lvs_next_hops_unresolved",
        "Real servers whose next hop is not resolved.",
        [(NONE, status.unresolved.len())],
    )?;
    families.gauges(
        "lvs_sources_missing",
        "Source addresses of full NAT that this machine does not have.",
        [(NONE, status.missing_sources.len())],
    )?;
    families.gauges(
        "lvs_tracers",
        "Clients that trace packets: packets take longer to handle meanwhile.",
        [(NONE, status.tracing.map_or(0, |it| it.tracers))],
    )?;
    families.gauges(
        "lvs_tracing_start_timestamp_seconds",
        "Begin of the oldest of their traces, in seconds since 1970.",
        status.tracing.map(|it| (NONE, it.since)),
    )
}

fn tables(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let tables = &snapshot.status.tables;
    let label = |table: &lvs_api::protocol::Table| match table.family {
        lvs_api::family::Family::Ipv4 => [("family", "ipv4")],
        lvs_api::family::Family::Ipv6 => [("family", "ipv6")],
    };
    families.gauges(
        "lvs_connection_table_entries",
        "Entries of a connection table in use: a connection takes one, a NAT connection two.",
        tables.iter().map(|it| (label(it), it.entries)),
    )?;
    families.gauges(
        "lvs_connection_table_capacity",
        "Entries of a connection table. At 45 % in use one new connection in 10,000 finds no room.",
        tables.iter().map(|it| (label(it), it.capacity)),
    )
}

fn checks(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let durations = snapshot.health.iter().flat_map(|health| &health.durations);
    families.histograms(
        "lvs_health_check_duration_seconds",
        "Duration of health checks, by kind and result.",
        durations.map(|it| {
            let result = if it.passed { "passed" } else { "failed" };
            ([("kind", &*it.kind), ("result", result)], histogram(it))
        }),
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of checks fit a float for 285 years"
)]
fn histogram(durations: &CheckDurations) -> Histogram {
    let bounds = CheckDurations::BOUNDS_MS
        .iter()
        .map(|bound| *bound as f64 / 1e3);
    let buckets: Vec<_> = bounds
        .chain([f64::INFINITY])
        .zip(durations.buckets.iter().copied())
        .collect();
    Histogram {
        sum: durations.sum_us as f64 / 1e6,
        count: buckets.iter().map(|(_, count)| count).sum(),
        buckets,
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn peers(families: &mut Families<'_>, peers: &[PeerStatus]) -> fmt::Result {
    let others = || peers.iter().filter(|peer| peer.state != PeerState::Itself);
    let sent = || others().filter_map(|peer| Some((peer, peer.sent.as_ref()?)));
    let received = || others().filter_map(|peer| Some((peer, peer.received.as_ref()?)));
    let both = |peer: &PeerStatus| {
        let sent = peer.sent.as_ref().is_some_and(|it| it.connected);
        let received = peer.received.as_ref().is_some_and(|it| it.connected);
        [("sent", sent), ("received", received)]
    };
    families.gauges(
        "lvs_peer_connected",
        "1 while there is a session with another director, by direction of the connections in it.",
        others().flat_map(|peer| {
            both(peer).map(|(direction, it)| {
                (
                    [("peer", &*peer.address), ("direction", direction)],
                    flag(it),
                )
            })
        }),
    )?;
    families.gauges(
        "lvs_peer_in_step",
        "1 while each director knows the connections of the other.",
        others().map(|peer| {
            (
                [("peer", &*peer.address)],
                flag(peer.state == PeerState::InStep),
            )
        }),
    )?;
    families.gauges(
        "lvs_peer_config_differs",
        "1 while the configuration of the peer is another one.",
        others().filter_map(|peer| {
            Some((
                [("peer", &*peer.address)],
                flag(peer.comparison.as_ref()?.differs),
            ))
        }),
    )?;
    families.gauges(
        "lvs_peer_lag_frames",
        "Frames of connections that the peer has not applied yet.",
        sent().map(|(peer, it)| ([("peer", &*peer.address)], it.lag_frames)),
    )?;
    families.gauges(
        "lvs_peer_lag_seconds",
        "Time since the oldest of these frames was sent.",
        sent().map(|(peer, it)| ([("peer", &*peer.address)], it.lag_ms as f64 / 1e3)),
    )?;
    let connections = sent().map(|(peer, it)| (peer, "sent", it.connections));
    let connections =
        connections.chain(received().map(|(peer, it)| (peer, "received", it.connections)));
    families.gauges(
        "lvs_peer_connections",
        "Connections and templates that the peer was sent, or that it sent, and exist.",
        connections.map(|(peer, direction, it)| {
            ([("peer", &*peer.address), ("direction", direction)], it)
        }),
    )?;
    let losses = sent().map(|(peer, it)| (peer, "sent", it.losses));
    let losses = losses.chain(received().map(|(peer, it)| (peer, "received", it.losses)));
    families.counters(
        "lvs_peer_disconnects",
        "Sessions that broke.",
        losses.map(|(peer, direction, it)| {
            ([("peer", &*peer.address), ("direction", direction)], it)
        }),
    )?;
    families.counters(
        "lvs_peer_entries_discarded",
        "Entries of the peer that were refused, by reason.",
        received().flat_map(|(peer, it)| {
            let discarded = it.discarded.iter();
            discarded.map(|it| ([("peer", &*peer.address), ("reason", &*it.name)], it.count))
        }),
    )
}

fn sync(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let (sent, received) = (&snapshot.sync.sent, &snapshot.sync.received);
    families.counters(
        "lvs_sync_messages",
        "Messages of IPVS's sync protocol.",
        [
            ([("direction", "sent")], sent.messages),
            ([("direction", "received")], received.messages),
        ],
    )?;
    families.counters(
        "lvs_sync_entries",
        "Connections and templates in these messages.",
        [
            ([("direction", "sent")], sent.entries),
            ([("direction", "received")], received.entries),
        ],
    )?;
    families.counters(
        "lvs_sync_send_failed",
        "Messages that the network refused.",
        [(NONE, sent.failed)],
    )?;
    families.counters(
        "lvs_sync_lost_events",
        "Events that did not fit into their buffer; a scan makes up for them.",
        [(NONE, sent.lost_events)],
    )?;
    families.counters(
        "lvs_sync_overflowed",
        "Messages that arrived faster than they were applied.",
        [(NONE, received.overflowed)],
    )?;
    families.gauges(
        "lvs_sync_unbound",
        "Connections that wait for their real server or virtual service.",
        [(NONE, received.unbound)],
    )?;
    families.counters(
        "lvs_sync_discarded",
        "Messages and entries that were discarded, by reason.",
        received
            .discarded
            .iter()
            .map(|it| ([("reason", &*it.name)], it.count)),
    )
}
