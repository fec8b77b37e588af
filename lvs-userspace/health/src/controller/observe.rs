//! Failures of clients' connections that the data path saw, of services that observe them.

use lvs_dataplane::director::SynRetries;
use tracing::info;

use super::state::Controller;
use crate::clock::now;
use crate::pool::MemberState;
use crate::running_watch::Observed;
use crate::tables::Name;

impl Controller {
    /// Counts failures; too many of them count as what the service says. The last server that is up is left to its
    /// health checks: nobody would serve in its place.
    pub(super) fn observe(&mut self, found: &SynRetries) {
        let Some(service) = self.services.get_mut(&found.service) else {
            return;
        };
        let Some(rules) = service.configured.observe else {
            return;
        };
        let mut servers = service.servers.iter();
        let Some(place) = servers.position(|server| server.configured.id == found.server) else {
            return;
        };
        let mut others = service.servers.iter().enumerate();
        let last = !others.any(|(other, server)| {
            other != place && !server.condemned && server.member_state() == MemberState::Up
        });
        let Some(server) = service.servers.get_mut(place).filter(|s| !s.is_paused()) else {
            return;
        };
        let Some(count) = server.failures.add(found.syns, &rules, now()) else {
            return;
        };
        let seconds = rules.fail_timeout.as_secs_f64();
        let text = format!(
            "{count} SYNs of clients refused or not answered within {seconds} s (maxfails = {})",
            rules.max_fails
        );
        if last {
            let address = found.server.0;
            info!(
                "{address} ({}): {text}; it stays, because no other server is up",
                Name(found.service)
            );
            return;
        }
        server.condemned = true;
        let observed = Observed {
            on_error: rules.on_error,
            hold: rules.fail_timeout,
            text,
        };
        self.watches.observe(&found.service, place, observed);
    }
}
