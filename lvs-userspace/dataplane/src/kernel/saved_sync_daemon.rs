//! The options of the sync daemons as they are kept beside the tables, for the next lvsd.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use lvs_api::sync::{DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL, SyncDaemon, SyncRole};

/// A sync daemon's options; all zero: it is not to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SavedSyncDaemon {
    /// 4 or 6, of the group; 0: not to run.
    family: u8,
    syncid: u8,
    ttl: u8,
    /// Always zero.
    reserved: u8,
    port: u16,
    /// 0: whatever fits the interface.
    max_length: u16,
    group: [u8; 16],
    /// Name, filled up with zeroes (`IFNAMSIZ`).
    interface: [u8; 16],
}

const _: () = assert!(size_of::<SavedSyncDaemon>() == 40);

impl SavedSyncDaemon {
    /// Nothing.
    pub const NONE: Self = Self {
        family: 0,
        syncid: 0,
        ttl: 0,
        reserved: 0,
        port: 0,
        max_length: 0,
        group: [0; 16],
        interface: [0; 16],
    };

    /// Place in the map.
    pub const fn index(role: SyncRole) -> u32 {
        match role {
            SyncRole::Master => 0,
            SyncRole::Backup => 1,
        }
    }

    /// `None` for an interface whose name no interface can have.
    pub fn new(daemon: &SyncDaemon) -> Option<Self> {
        let name = daemon.interface.as_bytes();
        let mut interface = [0; 16];
        if name.is_empty() || name.len() >= interface.len() || name.contains(&0) {
            return None;
        }
        interface.get_mut(..name.len())?.copy_from_slice(name);
        let address = daemon.group.unwrap_or(DEFAULT_GROUP);
        Some(Self {
            family: if address.is_ipv4() { 4 } else { 6 },
            syncid: daemon.syncid,
            ttl: daemon.ttl.unwrap_or(DEFAULT_TTL),
            reserved: 0,
            port: daemon.port.unwrap_or(DEFAULT_PORT),
            max_length: daemon.max_length.unwrap_or(0),
            group: crate::address::widen(address),
            interface,
        })
    }

    /// The options, if there are any that make sense.
    pub fn daemon(&self, role: SyncRole) -> Option<SyncDaemon> {
        let [a, b, c, d, ..] = self.group;
        let group: IpAddr = match self.family {
            4 => Ipv4Addr::new(a, b, c, d).into(),
            6 => Ipv6Addr::from(self.group).into(),
            _ => return None,
        };
        let length = self.interface.iter().position(|&byte| byte == 0)?;
        let interface = String::from_utf8(self.interface.get(..length)?.to_vec()).ok()?;
        let sensible = group.is_multicast() && self.port != 0 && self.ttl != 0;
        sensible.then_some(SyncDaemon {
            role,
            interface,
            syncid: self.syncid,
            group: Some(group),
            port: Some(self.port),
            ttl: Some(self.ttl),
            max_length: (self.max_length != 0).then_some(self.max_length),
        })
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn daemon() -> SyncDaemon {
        SyncDaemon {
            role: SyncRole::Backup,
            interface: "fifteen-letters".to_owned(),
            syncid: 7,
            group: None,
            port: None,
            ttl: None,
            max_length: None,
        }
    }

    #[test]
    fn options_are_read_back_filled_in() {
        let expected = SyncDaemon {
            group: Some(DEFAULT_GROUP),
            port: Some(8848),
            ttl: Some(1),
            ..daemon()
        };
        let saved = SavedSyncDaemon::new(&daemon()).unwrap();
        assert_eq!(saved.daemon(SyncRole::Backup), Some(expected));
        let whole = SyncDaemon {
            group: Some("ff02::81".parse().unwrap()),
            port: Some(9000),
            ttl: Some(3),
            max_length: Some(1000),
            ..daemon()
        };
        let saved = SavedSyncDaemon::new(&whole).unwrap();
        assert_eq!(saved.daemon(SyncRole::Backup), Some(whole));
    }

    #[test]
    fn nothing_and_nonsense_are_no_options() {
        assert_eq!(SavedSyncDaemon::new_zeroed(), SavedSyncDaemon::NONE);
        assert_eq!(SavedSyncDaemon::NONE.daemon(SyncRole::Master), None);
        let mut nonsense = SavedSyncDaemon::new(&daemon()).unwrap();
        nonsense.interface = [b'x'; 16];
        assert_eq!(nonsense.daemon(SyncRole::Master), None);
        for interface in ["", "sixteen-letters!"] {
            let interface = interface.to_owned();
            assert_eq!(
                SavedSyncDaemon::new(&SyncDaemon {
                    interface,
                    ..daemon()
                }),
                None
            );
        }
    }
}
