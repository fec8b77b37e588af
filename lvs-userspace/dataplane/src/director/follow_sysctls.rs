//! The settings of `net.ipv4.vs`, as the director's servers and their connections follow them.

use std::collections::BTreeMap;

use lvs_api::model::OnDown;
use lvs_api::protocol::Refusal;
use lvs_api::sysctl::{Name, SysctlValue};
use lvs_common::abi::Server;

use super::parts::Director;
use super::sysctls::{get, refusal};

impl Director {
    /// All settings of `net.ipv4.vs` with their values.
    pub fn sysctls(&self) -> Vec<SysctlValue> {
        let names = Name::ALL.iter();
        names
            .map(|name| name.listed(self.sysctls.get(*name)))
            .collect()
    }

    /// Those that were set to another value than their default, as they are typed.
    pub(super) fn changed_sysctls(&self) -> BTreeMap<String, String> {
        let changed = Name::ALL.iter().filter_map(|name| {
            let sysctl = name.sysctl();
            let value = get(&self.maps, *name).filter(|value| *value != sysctl.default)?;
            let value = name.render(value).replace('\t', ",");
            Some((sysctl.name.to_owned(), value))
        });
        changed.collect()
    }

    /// Sets one.
    pub(super) fn set_sysctl(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let name = Name::find(name).map_err(|error| refusal(&error))?;
        let value = name.parse(value).map_err(|error| refusal(&error))?;
        self.sysctls.store(name, value);
        self.follow_sysctl(name);
        Ok(())
    }

    /// Has program and tables follow all settings: a program that takes tables over may have others.
    pub(super) fn follow_sysctls(&mut self) {
        for name in Name::ALL {
            if get(&self.maps, *name).is_some() {
                self.sysctls.publish(*name);
            }
        }
        self.follow_quiesced();
    }

    fn follow_sysctl(&mut self, name: Name) {
        match name {
            Name::ExpireNodestConn if self.sysctls.on(name) => {
                let deleted: Vec<_> = self.servers.deleted().map(|(index, _)| index).collect();
                for index in deleted {
                    self.set_down(index, OnDown::Reschedule);
                }
            }
            Name::ExpireQuiescentTemplate => self.follow_quiesced(),
            _ => {}
        }
    }

    /// Has packets of all servers treated as their weights and the settings say.
    fn follow_quiesced(&mut self) {
        let services: Vec<_> = self.services.configured().map(|(index, _)| index).collect();
        for service in services {
            self.follow_weights(service);
        }
    }

    /// Has packets of a service's servers treated as their weights and the settings say.
    pub(super) fn follow_weights(&mut self, service: u32) {
        let flags = self.quiesced_flags();
        let Some(service) = self.services.get(service) else {
            return;
        };
        let members: Vec<_> = service
            .servers()
            .map(|(_, settings, member)| (member.server, settings.weight))
            .collect();
        for (server, weight) in members {
            let flags = if weight == 0 { flags } else { 0 };
            self.servers.set_quiesced(server, flags);
        }
    }

    /// Bits of [`Server::flags`] of a server that is quiesced.
    fn quiesced_flags(&self) -> u8 {
        if self.sysctls.on(Name::ExpireQuiescentTemplate) {
            Server::NO_TEMPLATES
        } else {
            0
        }
    }

    /// The fate of the connections of a server that is deleted, unless its service says it.
    pub(super) fn on_delete(&self, on_down: OnDown) -> OnDown {
        match on_down {
            OnDown::Keep if self.sysctls.on(Name::ExpireNodestConn) => OnDown::Reschedule,
            on_down => on_down,
        }
    }
}
