//! The same numbers by the names of node_exporter's ipvs collector, so that its dashboards go on.
//!
//! Without its sums over all services (`node_ipvs_connections_total` and four more): a counter must not go back, as
//! they would when a service is deleted.

use std::fmt;

use lvs_api::model::ServiceId;
use lvs_api::protocol::{Server, Service};
use lvs_api::rows::ServiceRow;

use super::encoder::Families;

/// Labels of a real server: all of them are always there.
type Labels = [(&'static str, String); 6];

fn labels(service: &ServiceId, server: &Server) -> Labels {
    let (address, port, protocol, mark) = match service {
        ServiceId::Address { protocol, address } => {
            let (ip, port) = (address.ip().to_string(), address.port());
            (ip, port, protocol.name(), String::new())
        }
        ServiceId::Mark { mark, .. } => (String::new(), 0, "FWM", format!("{mark:08X}")),
    };
    [
        ("local_address", address),
        ("local_port", port.to_string()),
        ("remote_address", server.id.0.ip().to_string()),
        ("remote_port", server.id.0.port().to_string()),
        ("proto", protocol.to_owned()),
        ("local_mark", mark),
    ]
}

pub(super) fn encode(families: &mut Families<'_>, rows: &[ServiceRow<'_>]) -> fmt::Result {
    let servers = |of: fn(&Server) -> u32| {
        let servers = move |service: &Service| {
            let labelled = service
                .servers
                .iter()
                .map(|it| (labels(&service.id, it), of(it)));
            labelled.collect::<Vec<_>>()
        };
        rows.iter().filter_map(|row| row.entry).flat_map(servers)
    };
    families.gauges(
        "node_ipvs_backend_connections_active",
        "The current active connections by local and remote address.",
        servers(|it| it.active),
    )?;
    families.gauges(
        "node_ipvs_backend_connections_inactive",
        "The current inactive connections by local and remote address.",
        servers(|it| it.inactive),
    )?;
    families.gauges(
        "node_ipvs_backend_weight",
        "The current backend weight by local and remote address.",
        servers(|it| it.settings.weight),
    )
}
