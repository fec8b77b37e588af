//! Real servers that are added by hand and checked. Pure.

use lvs_api::health::ServerByHand;
use lvs_api::model::ServerId;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_config::ldirectord::ByHand;
use lvs_dataplane::director::{canonical_service, check_server, identity};
use lvs_health::model::Configuration;

/// All of them after a change, or the reason why it cannot be made.
pub(crate) fn changed(
    configuration: &Configuration,
    known: &[ByHand],
    change: &ServerByHand,
) -> Result<Vec<ByHand>, Refusal> {
    let (ServerByHand::Check {
        service, server, ..
    }
    | ServerByHand::Remove { service, server }) = change;
    let service = canonical_service(service);
    let mut services = configuration.virtuals.iter();
    let Some(found) = services.find(|it| canonical_service(&it.id) == service) else {
        let message = "the virtual service is not in the file: its servers are not checked";
        return Err(Refusal::new(RefusalKind::NoSuchService, message));
    };
    let mut all = known.to_vec();
    let place = |id: &ServerId| {
        let mut known = known.iter();
        known.position(|it| it.service == service && it.server == *id)
    };
    match change {
        ServerByHand::Check { settings, .. } => {
            let id = identity(&service, server, settings.method);
            check_server(&service, &id, settings)?;
            let added = ByHand {
                service,
                server: id,
                settings: *settings,
            };
            if let Some(place) = place(&id) {
                all.splice(place..=place, [added]);
            } else if found.servers.iter().any(|known| known.id == id) {
                let message = "the real server is in the file, or of a name in it: it is checked";
                return Err(Refusal::new(RefusalKind::ServerExists, message));
            } else {
                all.push(added);
            }
        }
        ServerByHand::Remove { .. } => {
            let Some(place) = place(server) else {
                let message = "no such real server was added by hand to be checked";
                return Err(Refusal::new(RefusalKind::NoSuchServer, message));
            };
            all.remove(place);
        }
    }
    Ok(all)
}
