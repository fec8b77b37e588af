//! Changes of the operator: each is made whole or refused whole.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use lvs_api::mark::MarkRule;
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Refusal, RefusalKind};
use lvs_api::timeouts::Timeouts;

use super::changes::Changes;
use super::configuration::Configuration;
use super::parts::Director;
use super::wanted::{Wanted, after, canonical_rule, canonical_service, mixes_families, subject};
use super::{own_end, source_pools, timeouts};
use crate::own_addresses::is_own_ip;

impl Director {
    /// Makes one change, whole or not at all.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), Refusal> {
        let made = match edit {
            Edit::Flush => {
                let mut ids = self.services.ids().into_iter();
                ids.try_for_each(|id| self.remove_service(id))
            }
            Edit::Zero { service } => return self.zero(service.as_ref()),
            Edit::SetTimeouts(timeouts) => return timeouts::set(&self.maps.config, *timeouts),
            Edit::Mark(rule) => return self.set_mark(rule),
            Edit::SetSysctl { name, value } => return self.set_sysctl(name, value),
            edit => match subject(edit) {
                Some(id) => own_end::refuse(edit, is_own_ip)
                    .and_then(|()| self.edit_service(id, std::slice::from_ref(edit))),
                None => Ok(()),
            },
        };
        match edit {
            // The other addresses stay, and there may be many.
            Edit::AddServer { server, .. } if made.is_ok() => {
                self.hops.expect(&BTreeSet::from([server.address()]));
            }
            edit if moves_servers(edit) => self.follow(),
            _ => {}
        }
        made
    }

    /// Refuses a change that gives a real server source addresses which this machine does not have now. A backup has
    /// them once it is master, and so may a director whose addresses somebody else adds.
    pub fn check_sources(edit: &Edit) -> Result<(), Refusal> {
        match edit {
            Edit::AddServer { settings, .. } | Edit::EditServer { settings, .. } => {
                settings.snat.map_or(Ok(()), source_pools::check)
            }
            _ => Ok(()),
        }
    }

    /// Source addresses of configured real servers that this machine lacks: replies to them do not come back.
    pub fn foreign_sources(&self) -> BTreeSet<IpAddr> {
        let services = self.services.configured();
        let settings = services.flat_map(|(_, service)| &service.wanted.servers);
        source_pools::foreign(settings.filter_map(|(_, settings)| settings.snat))
    }

    /// Makes changes of each of these services as one: a packet sees all of a service's changes or none,
    /// and one that is refused changes nothing of its service. The outcomes are in the services' order.
    pub fn apply_together<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (ServiceId, &'a [Edit])>,
    ) -> Vec<Result<(), Refusal>> {
        let mut moved = false;
        let outcomes = changes.into_iter().map(|(id, edits)| {
            moved |= edits.iter().any(moves_servers);
            self.edit_service(&id, edits)
        });
        let outcomes = outcomes.collect();
        if moved {
            self.follow();
        }
        outcomes
    }

    /// Makes changes of one service as one.
    pub(super) fn edit_service(&mut self, id: &ServiceId, edits: &[Edit]) -> Result<(), Refusal> {
        let id = canonical_service(id);
        let mut wanted = self.wanted(&id).cloned();
        let mut changes = Changes::default();
        for edit in edits {
            let next = after(wanted.as_ref(), edit)?;
            changes.add(&id, wanted.as_ref(), edit);
            wanted = next;
        }
        match wanted {
            Some(wanted) => self.upsert_service(id, wanted, &changes),
            None => self.remove_service(id),
        }
    }

    /// Makes the tables hold exactly what a configuration says, one service after the other.
    pub fn configure(&mut self, configuration: &Configuration) -> Result<(), Refusal> {
        let room = self.maps.active_plans.len();
        if configuration.services.len() > room as usize {
            return Err(Refusal::no_room(format!(
                "there is room for {room} virtual services (see --services)"
            )));
        }
        let room = self.maps.servers.len();
        if configuration.servers() > room as usize {
            return Err(Refusal::no_room(format!(
                "there is room for {room} real servers (see --servers)"
            )));
        }
        if let Some(timeouts) = configuration.timeouts {
            timeouts::set(&self.maps.config, timeouts)?;
        }
        for (name, value) in &configuration.sysctls {
            self.set_sysctl(name, value)?;
        }
        let all = &configuration.services;
        let stays: HashSet<_> = all.iter().map(|(id, _)| id).collect();
        for id in self.services.ids() {
            if !stays.contains(&id) {
                self.remove_service(id)?;
            }
        }
        for (id, wanted) in all {
            let before = self.wanted(id);
            if before != Some(wanted) {
                let changes = Changes::between(before, wanted);
                self.upsert_service(*id, wanted.clone(), &changes)?;
            }
        }
        self.set_marks(&configuration.marks)?;
        self.follow();
        Ok(())
    }

    /// A configured service as it is wanted now.
    pub fn wanted(&self, id: &ServiceId) -> Option<&Wanted> {
        let (_, service) = self.services.find(&canonical_service(id))?;
        Some(&service.wanted)
    }

    /// True if any real server is of another address family than its virtual service.
    pub fn mixes_families(&self) -> bool {
        let mut services = self.services.configured();
        services.any(|(_, service)| {
            let mut servers = service.wanted.servers.iter();
            servers.any(|(server, _)| mixes_families(&service.id, server))
        })
    }

    /// Everything that is configured, as it is wanted now.
    pub fn configuration(&self) -> Configuration {
        let services = self.services.configured();
        let services = services.map(|(_, service)| (service.id, service.wanted.clone()));
        let timeouts = Some(self.timeouts());
        let mut configuration = Configuration::new(services.collect(), timeouts, self.marks());
        configuration.sysctls = self.changed_sysctls();
        configuration
    }

    /// The timeouts in force.
    pub fn timeouts(&self) -> Timeouts {
        timeouts::get(&self.maps.config)
    }

    /// The rules for marks there are, in the order in which they hold: the last one that matches does.
    pub fn marks(&self) -> Vec<MarkRule> {
        self.marks.list()
    }

    /// Starts the counters and rates of a service and its servers, or of all, at zero.
    pub(super) fn zero(&mut self, id: Option<&ServiceId>) -> Result<(), Refusal> {
        let wanted = id.map(canonical_service);
        let mut found = false;
        let services = self.services.configured();
        for (index, service) in
            services.filter(|(_, service)| wanted.is_none_or(|id| service.id == id))
        {
            found = true;
            self.statistics.zero_service(index);
            self.statistics.zero_servers(service.indexes());
        }
        if wanted.is_some() && !found {
            return Err(Refusal::new(
                RefusalKind::NoSuchService,
                "there is no such virtual service",
            ));
        }
        Ok(())
    }

    /// From now on these packets carry a mark; 0: none.
    pub(super) fn set_mark(&mut self, rule: &MarkRule) -> Result<(), Refusal> {
        let rule = canonical_rule(rule)?;
        if rule.removes() {
            self.filter.mark_stale();
            return self.marks.remove(&rule, &self.services, &mut self.keys);
        }
        self.filter.add_network(rule.destination());
        self.marks.insert(rule, &self.services, &mut self.keys)
    }

    /// Makes the rules for marks exactly these, in this order.
    fn set_marks(&mut self, rules: &[MarkRule]) -> Result<(), Refusal> {
        let known = self.marks();
        if known == rules {
            return Ok(());
        }
        for rule in known {
            if !rules.iter().any(|wanted| wanted.matches_same(&rule)) {
                self.set_mark(&MarkRule {
                    mark: 0,
                    unmarked: false,
                    ..rule
                })?;
            }
        }
        rules.iter().try_for_each(|rule| self.set_mark(rule))
    }
}

/// True if a change may add or remove an address of real servers; weights and settings do not.
const fn moves_servers(edit: &Edit) -> bool {
    !matches!(edit, Edit::EditServer { .. } | Edit::EditService { .. })
}
