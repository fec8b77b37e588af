//! Options that the sync daemons of a director have in common.

use std::time::Duration;

use lvs_api::sysctl::Name;
use lvs_dataplane::director::sysctl;
use lvs_dataplane::kernel::Maps;

use super::refresh::RefreshOptions;
use super::wire::Version;

/// Those of lvsd's command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncOptions {
    /// When a master sends a connection again.
    pub refresh: RefreshOptions,
    /// Ports of a group, from its own on (`sync_ports` of IPVS): a master spreads what it sends over them, a
    /// backup listens at all.
    pub ports: u16,
    /// A master sends only the templates of persistent services (`sync_persist_mode`).
    pub templates_only: bool,
    /// Version of a master's messages (`sync_version`).
    pub version: Version,
    /// Bytes of a socket's buffer (`sync_sock_size`), 0: the system's default; `None`: this program's.
    pub buffer: Option<u32>,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            refresh: RefreshOptions::OFF,
            ports: 1,
            templates_only: false,
            version: Version::One,
            buffer: None,
        }
    }
}

impl SyncOptions {
    /// These options, with what was set meanwhile by the settings of `net.ipv4.vs`.
    pub(super) fn with_sysctls(self, maps: &Maps) -> Self {
        let set = |name| sysctl(maps, name).and_then(|value| u32::try_from(value).ok());
        let period =
            set(Name::SyncRefreshPeriod).map(|seconds| Duration::from_secs(seconds.into()));
        let retries = set(Name::SyncRetries).and_then(|it| u8::try_from(it).ok());
        let ports = set(Name::SyncPorts).and_then(|it| u16::try_from(it).ok());
        Self {
            refresh: RefreshOptions {
                period: period.unwrap_or(self.refresh.period),
                retries: retries.unwrap_or(self.refresh.retries),
            },
            ports: ports.unwrap_or(self.ports),
            templates_only: set(Name::SyncPersistMode).map_or(self.templates_only, |it| it != 0),
            version: match set(Name::SyncVersion) {
                Some(0) => Version::Zero,
                Some(_) => Version::One,
                None => self.version,
            },
            buffer: set(Name::SyncSockSize).or(self.buffer),
        }
    }

    /// Number of ports of a group whose first is this one: there are none beyond the last.
    pub(super) fn ports_from(&self, first: u16) -> u16 {
        self.ports.clamp(1, (u16::MAX - first).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_no_ports_beyond_the_last() {
        let options = SyncOptions {
            ports: 4,
            ..SyncOptions::default()
        };
        let counts = [1, 65_531, 65_532, 65_533, 65_535].map(|first| options.ports_from(first));
        assert_eq!(counts, [4, 4, 4, 3, 1]);
    }
}
