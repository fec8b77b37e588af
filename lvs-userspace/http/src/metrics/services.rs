//! Virtual services.

use std::fmt;

use lvs_api::model::{Family, ServiceId};
use lvs_api::protocol::Traffic;
use lvs_api::rows::{ServiceRow, Shown};

use super::encoder::{Families, flag};

pub(super) fn encode(families: &mut Families<'_>, rows: &[ServiceRow<'_>]) -> fmt::Result {
    families.infos(
        "lvs_service",
        "Name and settings of a virtual service.",
        rows.iter().filter_map(|row| {
            let protocol = match row.id {
                ServiceId::Address { protocol, .. } => protocol.name(),
                ServiceId::Mark { .. } => "FWM",
            };
            let family = match row.id.family() {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            Some([
                ("service", &*row.label),
                ("name", row.name()),
                ("scheduler", &*row.entry?.settings.scheduler),
                ("protocol", protocol),
                ("family", family),
            ])
        }),
    )?;
    let counted = || {
        rows.iter()
            .filter_map(|row| Some((&*row.label, row.entry?.stats)))
    };
    families.counters(
        "lvs_service_connections",
        "Connections of a virtual service.",
        counted().map(|(service, stats)| ([("service", service)], stats.connections)),
    )?;
    families.counters(
        "lvs_service_packets",
        "Packets of a virtual service: in from clients, out to them.",
        counted().flat_map(|(service, stats)| {
            packets(&stats)
                .map(|(direction, it)| ([("service", service), ("direction", direction)], it))
        }),
    )?;
    families.counters(
        "lvs_service_bytes",
        "Bytes of a virtual service: in from clients, out to them.",
        counted().flat_map(|(service, stats)| {
            bytes(&stats)
                .map(|(direction, it)| ([("service", service), ("direction", direction)], it))
        }),
    )?;
    families.gauges(
        "lvs_service_servers",
        "Real servers of a virtual service by state.",
        rows.iter().flat_map(|row| {
            Shown::ALL.map(|state| {
                (
                    [("service", &*row.label), ("state", state.name())],
                    row.count(state),
                )
            })
        }),
    )?;
    let checked = || {
        rows.iter()
            .filter_map(|row| Some((&*row.label, row.health?)))
    };
    families.gauges(
        "lvs_service_quorum",
        "1 while a virtual service has its quorum; only of those with one.",
        checked().filter_map(|(service, it)| Some(([("service", service)], flag(it.quorum?)))),
    )?;
    families.gauges(
        "lvs_service_fallback_active",
        "1 while the fallback servers of a virtual service are in use.",
        checked().map(|(service, it)| ([("service", service)], flag(it.fallback))),
    )
}

/// Packets by direction.
pub(super) const fn packets(stats: &Traffic) -> [(&'static str, u64); 2] {
    [("in", stats.in_packets), ("out", stats.out_packets)]
}

/// Bytes by direction.
pub(super) const fn bytes(stats: &Traffic) -> [(&'static str, u64); 2] {
    [("in", stats.in_bytes), ("out", stats.out_bytes)]
}
