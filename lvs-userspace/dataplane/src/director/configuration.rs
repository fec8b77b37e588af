//! The desired state of the tables as a whole.

use std::collections::{BTreeMap, HashMap};

use lvs_api::mark::MarkRule;
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Refusal};
use lvs_api::timeouts::Timeouts;
use lvs_common::abi::{MAX_SERVERS, MAX_SERVICES};

use super::sysctls;
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
    /// Settings of `net.ipv4.vs` by name.
    pub sysctls: BTreeMap<String, String>,
    /// Places of the services.
    places: HashMap<ServiceId, usize>,
    /// Number of their real servers.
    servers: usize,
}

impl Configuration {
    /// The desired state of these (canonical) services, timeouts and marks.
    pub fn new(
        services: Vec<(ServiceId, Wanted)>,
        timeouts: Option<Timeouts>,
        marks: Vec<MarkRule>,
    ) -> Self {
        let ids = services.iter().map(|(id, _)| *id);
        Self {
            places: ids.zip(0..).collect(),
            servers: services.iter().map(|(_, it)| it.servers.len()).sum(),
            services,
            timeouts,
            marks,
            sysctls: BTreeMap::new(),
        }
    }

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
            Edit::SetSysctl { name, value } => {
                sysctls::check(name, value)?;
                self.sysctls.insert(name.clone(), value.clone());
                return Ok(());
            }
            Edit::Flush => {
                self.services.clear();
                self.places.clear();
                self.servers = 0;
            }
            // Counters are not part of what is configured.
            Edit::Zero { .. } => {}
            edit => {
                let Some(id) = subject(edit).map(canonical_service) else {
                    return Ok(());
                };
                let place = self.places.get(&id).copied();
                let current = place
                    .and_then(|place| self.services.get(place))
                    .map(|(_, wanted)| wanted);
                let servers =
                    |wanted: Option<&Wanted>| wanted.map_or(0, |wanted| wanted.servers.len());
                let wanted = after(current, edit)?;
                self.servers += servers(wanted.as_ref());
                self.servers -= servers(current);
                match (wanted, place) {
                    (Some(wanted), None) => {
                        self.places.insert(id, self.services.len());
                        self.services.push((id, wanted));
                    }
                    (Some(wanted), Some(place)) => self.services[place].1 = wanted,
                    (None, Some(place)) => self.remove(place),
                    (None, None) => {}
                }
            }
        }
        self.check_limits()
    }

    /// Number of real servers of all services together.
    pub(super) const fn servers(&self) -> usize {
        self.servers
    }

    fn remove(&mut self, place: usize) {
        self.services.remove(place);
        let services = self.services.iter().enumerate();
        self.places = services.map(|(place, (id, _))| (*id, place)).collect();
    }

    fn check_limits(&self) -> Result<(), Refusal> {
        if self.services.len() > MAX_SERVICES as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVICES} virtual services at most"
            )));
        }
        if self.servers() > MAX_SERVERS as usize {
            return Err(Refusal::no_room(format!(
                "there can be {MAX_SERVERS} real servers at most"
            )));
        }
        Ok(())
    }
}
