//! Real servers behind NAT in the network of their virtual address.
//!
//! A client of that network is answered by such a server past the director, from an address that it never asked: it
//! drops what it gets. Full NAT brings the replies back.

use std::time::{Duration, Instant};

use lvs_api::model::{Method, ServerId, ServerSettings, ServiceId};
use tracing::warn;

use super::own_networks::OwnNetworks;
use super::wanted::Wanted;

/// Time after which this machine's networks are asked for again: many services come in one request.
const CURRENT: Duration = Duration::from_secs(1);

/// Returns whether a real server behind NAT sees its clients' own addresses.
pub fn keeps_source(settings: &ServerSettings) -> bool {
    settings.method == Method::Nat && settings.snat.is_none()
}

/// Warns of servers that a service gets now, compared with what it had before.
pub(super) fn warn_of_new(
    id: &ServiceId,
    before: Option<&Wanted>,
    wanted: &Wanted,
    own: &mut LatestNetworks,
) {
    let ServiceId::Address { address, .. } = id else {
        return;
    };
    let known = |server: &ServerId| {
        let mut before = before.into_iter().flat_map(|before| &before.servers);
        before.any(|(other, settings)| other == server && keeps_source(settings))
    };
    let mut new = wanted
        .servers
        .iter()
        .filter(|(server, settings)| keeps_source(settings) && !known(server))
        .peekable();
    if new.peek().is_none() {
        return;
    }
    let networks = own.current(Instant::now());
    for (server, _) in new {
        if networks.hold_both(address.ip(), server.address()) {
            warn!(
                "real server {} is in the same network as its virtual address {address}: it answers clients of \
                 this network directly, and they are not served; with full NAT (snat = auto, --snat auto) they are",
                server.0
            );
        }
    }
}

/// This machine's networks, as they were lately.
#[derive(Default)]
pub(super) struct LatestNetworks(Option<(Instant, OwnNetworks)>);

impl LatestNetworks {
    fn current(&mut self, now: Instant) -> &OwnNetworks {
        let current = |asked: Instant| now.saturating_duration_since(asked) < CURRENT;
        if !self.0.as_ref().is_some_and(|(asked, _)| current(*asked)) {
            self.0 = None;
        }
        let read = || (now, OwnNetworks::of_this_machine());
        let (_, networks) = self.0.get_or_insert_with(read);
        networks
    }
}
