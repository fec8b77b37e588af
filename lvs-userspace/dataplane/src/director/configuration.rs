//! The desired state of the tables as a whole.

use lvs_api::mark::MarkRule;
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Refusal, Timeouts};
use lvs_common::abi::{MAX_SERVERS, MAX_SERVICES};

use super::wanted::{Wanted, after, canonical_rule, canonical_service, subject};

/// The desired state of all tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// All services.
    pub services: Vec<(ServiceId, Wanted)>,
    /// Timeouts, if any line sets them.
    pub timeouts: Option<Timeouts>,
    /// Rules that give packets firewall marks.
    pub marks: Vec<MarkRule>,
}

impl Configuration {
    /// Applies one edit.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::SetTimeouts(set) => {
                let before = self.timeouts.unwrap_or(Timeouts {
                    tcp: 0,
                    tcp_fin: 0,
                    udp: 0,
                });
                let newer = |new, old| if new == 0 { old } else { new };
                self.timeouts = Some(Timeouts {
                    tcp: newer(set.tcp, before.tcp),
                    tcp_fin: newer(set.tcp_fin, before.tcp_fin),
                    udp: newer(set.udp, before.udp),
                });
                return Ok(());
            }
            Edit::Mark(rule) => {
                let rule = canonical_rule(rule)?;
                self.marks.retain(|other| !other.matches_same(&rule));
                self.marks.extend((rule.mark != 0).then_some(rule));
            }
            Edit::Flush => self.services.clear(),
            // Counters are not part of what is configured.
            Edit::Zero { .. } => {}
            edit => {
                let Some(id) = subject(edit).map(canonical_service) else {
                    return Ok(());
                };
                let place = self.services.iter().position(|(service, _)| *service == id);
                let current = place
                    .and_then(|place| self.services.get(place))
                    .map(|(_, wanted)| wanted);
                match (after(current, edit)?, place) {
                    (Some(wanted), None) => self.services.push((id, wanted)),
                    (Some(wanted), Some(place)) => self.services[place].1 = wanted,
                    (None, Some(place)) => drop(self.services.remove(place)),
                    (None, None) => {}
                }
            }
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), Refusal> {
        let servers: usize = self
            .services
            .iter()
            .map(|(_, wanted)| wanted.servers.len())
            .sum();
        if self.services.len() > MAX_SERVICES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVICES} virtual services at most"
            )));
        }
        if servers > MAX_SERVERS as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVERS} real servers at most"
            )));
        }
        Ok(())
    }
}
