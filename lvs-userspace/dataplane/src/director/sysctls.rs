//! The settings of `net.ipv4.vs`: where they are kept, and how the program follows them.

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::sysctl::{self, Name, SysctlError};
use lvs_common::abi::{Config, Sync};

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

    pub(super) fn store(&self, name: Name, value: u64) {
        self.maps.sysctls.write(name as u32, value.wrapping_add(1));
        self.publish(name);
    }

    /// Has the program follow a setting.
    pub(super) fn publish(&self, name: Name) {
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

/// Refuses what cannot be set.
pub(super) fn check(name: &str, value: &str) -> Result<(), Refusal> {
    let name = Name::find(name).map_err(|error| refusal(&error))?;
    name.parse(value).map(drop).map_err(|error| refusal(&error))
}

pub(super) fn refusal(error: &SysctlError) -> Refusal {
    let kind = match error {
        SysctlError::Fixed { .. } | SysctlError::OneValue { .. } => RefusalKind::NotSupported,
        SysctlError::Unknown(_) | SysctlError::Value { .. } => RefusalKind::BadSetting,
    };
    Refusal::new(kind, error.to_string())
}
