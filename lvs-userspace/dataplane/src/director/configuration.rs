//! The tables as a whole: what they are to hold, and nothing else.

use lvs_common::abi::{MAX_SERVERS, MAX_SERVICES};

use super::{Director, Wanted, after, canonical_service, subject};
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, MarkRule, Refusal, Timeouts};

/// All that is wanted of the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// All services.
    pub services: Vec<(ServiceId, Wanted)>,
    /// Timeouts, if any line sets them.
    pub timeouts: Option<Timeouts>,
    /// Which packets carry which firewall mark.
    pub marks: Vec<MarkRule>,
}

impl Configuration {
    /// What one change makes of it.
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
                self.marks.retain(|other| {
                    (other.protocol, other.address) != (rule.protocol, rule.address)
                });
                self.marks.extend((rule.mark != 0).then_some(*rule));
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

impl Director {
    /// Makes the tables hold exactly what a configuration says, one service after the other.
    pub fn configure(&mut self, configuration: &Configuration) -> Result<(), Refusal> {
        if let Some(timeouts) = configuration.timeouts {
            self.set_timeouts(timeouts)?;
        }
        let all = &configuration.services;
        let unwanted: Vec<_> = self
            .live()
            .map(|(_, service)| service.id)
            .filter(|id| all.iter().all(|(wanted, _)| wanted != id))
            .collect();
        for id in unwanted {
            self.remove(id)?;
        }
        let stale: Vec<_> = self
            .marks()
            .into_iter()
            .filter(|rule| !configuration.marks.contains(rule))
            .collect();
        for rule in stale {
            self.set_mark(&MarkRule { mark: 0, ..rule })?;
        }
        for (id, wanted) in all {
            if self
                .find(id)
                .is_none_or(|service| service.wanted != *wanted)
            {
                self.place(*id, wanted.clone())?;
            }
        }
        for rule in &configuration.marks {
            self.set_mark(rule)?;
        }
        self.follow();
        Ok(())
    }
}
