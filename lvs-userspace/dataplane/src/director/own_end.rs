//! Real servers that are the director itself.

use std::net::IpAddr;

use lvs_api::model::{Method, ServerId, ServerSettings, ServiceId};
use lvs_api::protocol::{Edit, Refusal, RefusalKind};
use tracing::warn;

use super::wanted::Wanted;
use crate::own_addresses::is_own_ip;

/// True if this would need another port at the director's own address: packets go up the stack as they are, and
/// no program would translate what the local server answers.
pub fn needs_own_port(service: &ServiceId, server: &ServerId, method: Method) -> bool {
    has_other_port(service, server, method) && is_own_ip(server.address())
}

fn has_other_port(service: &ServiceId, server: &ServerId, method: Method) -> bool {
    match service {
        ServiceId::Address { address, .. } if method == Method::Nat => {
            let (asked, served) = (address.port(), server.0.port());
            asked != 0 && served != 0 && asked != served
        }
        _ => false,
    }
}

/// Warns of such real servers of a service, where this address became the director's own later.
pub(super) fn warn_of(service: &ServiceId, wanted: &Wanted, own: IpAddr) {
    let ServiceId::Address { address, .. } = service else {
        return;
    };
    for (server, settings) in &wanted.servers {
        if server.address() == own && needs_own_port(service, server, settings.method) {
            warn!(
                "real server {} of {address} is the director itself now, where ports cannot be translated: it serves \
                 nobody unless it listens on port {}, too",
                server.0,
                address.port()
            );
        }
    }
}

/// Refuses to add such a real server, or to make one of it. `is_own`: the address is the director's.
pub(super) fn refuse(edit: &Edit, is_own: impl Fn(IpAddr) -> bool) -> Result<(), Refusal> {
    let (Edit::AddServer {
        service,
        server,
        settings: ServerSettings { method, .. },
    }
    | Edit::EditServer {
        service,
        server,
        settings: ServerSettings { method, .. },
    }) = edit
    else {
        return Ok(());
    };
    if has_other_port(service, server, *method) && is_own(server.address()) {
        return Err(Refusal::new(
            RefusalKind::NotSupported,
            "the real server is the director itself, where ports cannot be translated: have it listen on the \
             virtual service's port, too",
        ));
    }
    Ok(())
}
