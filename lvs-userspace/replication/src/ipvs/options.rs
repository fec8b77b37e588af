//! Options that the sync daemons of a director have in common.

use super::refresh::RefreshOptions;

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
    /// Bytes of a socket's buffer (`sync_sock_size`), 0: the system's default; `None`: this program's.
    pub buffer: Option<u32>,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            refresh: RefreshOptions::OFF,
            ports: 1,
            templates_only: false,
            buffer: None,
        }
    }
}

impl SyncOptions {
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
