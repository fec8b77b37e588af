//! The settings of `net.ipv4.vs`: where they are kept, and how the program and the tables follow them.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::model::OnDown;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::sysctl::{self, Name, SysctlError, SysctlValue};
use lvs_common::abi::{Config, Server, Sync};

use super::parts::Director;
use crate::kernel::{Mapping, Maps};

/// The settings in a map of their own, which outlives the daemon: each value plus one; 0: it is not set.
pub(super) struct Sysctls {
    maps: Arc<Maps>,
    /// `sync_threshold` as lvsd's options say.
    sync_threshold: u64,
}

impl Sysctls {
    /// For tables that have just been opened: what lvsd's options say stands in the map of settings still.
    pub(super) fn new(maps: Arc<Maps>) -> Self {
        let sync = maps.config.read(0).map(|config| config.sync);
        let sync = sync.unwrap_or_default();
        Self {
            sync_threshold: sysctl::pair(sync.threshold, Sync::period(sync.repeats)),
            maps,
        }
    }

    /// The value in force.
    pub(super) fn get(&self, name: Name) -> u64 {
        get(&self.maps, name).unwrap_or_else(|| match name {
            Name::SyncThreshold => self.sync_threshold,
            _ => name.sysctl().default,
        })
    }

    pub(super) fn on(&self, name: Name) -> bool {
        self.get(name) != 0
    }

    fn store(&self, name: Name, value: u64) {
        self.maps.sysctls.write(name as u32, value.wrapping_add(1));
        self.publish(name);
    }

    /// Has the program follow a setting.
    fn publish(&self, name: Name) {
        let config = &self.maps.config;
        match name {
            Name::ConnReuseMode => {
                set_options(config, Config::REUSE, Config::reuse(self.get(name)));
            }
            Name::SloppyTcp => set_option(config, Config::SLOPPY_TCP, self.on(name)),
            Name::SloppySctp => set_option(config, Config::SLOPPY_SCTP, self.on(name)),
            // The period is for whoever is interested in such events: the daemons of replication.
            Name::SyncThreshold => {
                let (threshold, _) = sysctl::parts(self.get(name));
                let offset = offset_of!(Config, sync) + offset_of!(Sync, threshold);
                if let Some(word) = config.word(0, offset) {
                    word.store(threshold, Ordering::Relaxed);
                }
            }
            _ => {}
        }
    }
}

/// A setting's value, if it was ever set.
pub fn get(maps: &Maps, name: Name) -> Option<u64> {
    maps.sysctls.read(name as u32)?.checked_sub(1)
}

fn set_option(config: &Mapping<Config>, bit: u32, on: bool) {
    set_options(config, bit, if on { bit } else { 0 });
}

/// Sets those bits of the options that are in `mask`; others write theirs at the same time.
fn set_options(config: &Mapping<Config>, mask: u32, bits: u32) {
    if let Some(options) = config.word(0, offset_of!(Config, options)) {
        let update = |options: u32| Some(options & !mask | bits & mask);
        // It always returns a value.
        let _ = options.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

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

/// Refuses what cannot be set.
pub(super) fn check(name: &str, value: &str) -> Result<(), Refusal> {
    let name = Name::find(name).map_err(|error| refusal(&error))?;
    name.parse(value).map(drop).map_err(|error| refusal(&error))
}

fn refusal(error: &SysctlError) -> Refusal {
    let kind = match error {
        SysctlError::Fixed { .. } | SysctlError::OneValue { .. } => RefusalKind::NotSupported,
        SysctlError::Unknown(_) | SysctlError::Value { .. } => RefusalKind::BadSetting,
    };
    Refusal::new(kind, error.to_string())
}
