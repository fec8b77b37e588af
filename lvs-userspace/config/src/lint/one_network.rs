//! Advice on real servers behind NAT in the network of their virtual address: clients of that network are answered past
//! the director, from an address that they never asked.

use lvs_api::model::{ServerId, ServerSettings, ServiceId};
use lvs_dataplane::director::{self, OwnNetworks, keeps_source};

/// Advice on services of rules.
pub(super) fn of_rules(
    configuration: &director::Configuration,
    networks: &OwnNetworks,
) -> Vec<String> {
    let services = configuration.services.iter();
    let advice = |(id, wanted): &(ServiceId, director::Wanted)| {
        let servers = wanted.servers.iter().map(|(id, settings)| (*id, settings));
        of_service(id, servers, networks)
    };
    services.filter_map(advice).collect()
}

/// Advice on services of an `ldirectord.cf`.
pub(super) fn of_virtuals(
    configuration: &lvs_health::model::Configuration,
    networks: &OwnNetworks,
) -> Vec<String> {
    let services = configuration.virtuals.iter();
    let advice = |service: &lvs_health::model::Virtual| {
        let servers = service.servers.iter().map(|it| (it.id, &it.settings));
        let fallbacks = service.fallbacks.iter().map(|it| (it.id, &it.settings));
        of_service(&service.id, servers.chain(fallbacks), networks)
    };
    services.filter_map(advice).collect()
}

fn of_service<'a>(
    id: &ServiceId,
    servers: impl Iterator<Item = (ServerId, &'a ServerSettings)>,
    networks: &OwnNetworks,
) -> Option<String> {
    let ServiceId::Address { address, .. } = id else {
        return None;
    };
    let mut together = servers
        .filter(|(_, settings)| keeps_source(settings))
        .filter(|(server, _)| networks.likely_hold_both(address.ip(), server.address()));
    let (ServerId(first), _) = together.next()?;
    let more = match together.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "real server {first}{more} (masq) and the virtual address {address} are in the same network: its clients are \
         answered directly, past the director, and are not served; with full NAT (snat = auto, --snat auto) they are"
    ))
}
