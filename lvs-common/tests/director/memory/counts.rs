//! The counts and states that packets left in the director's memory.

use std::net::IpAddr;
use std::sync::atomic::Ordering::SeqCst;

use lvs_common::abi::{Refused, Stats};
use lvs_common::connection::template::ASSURED;
use lvs_common::connection::{Kind, Protocol, Servers as _};
use lvs_common::family::{Family, V4};
use lvs_common::filter::clients::{ClientKey, ClientSlot, ClientWays as _, Clients as _, find};
use lvs_common::tables::Tables;

use super::super::frames::wide;
use super::super::memory_sets::Set;
use super::Director;

impl Director {
    /// Active and inactive connections of a server.
    pub(crate) fn connections(&self, server: u32) -> (u32, u32) {
        let load = Tables::load(self, server);
        (load.active(), load.inactive())
    }

    pub(crate) fn stats(&self, server: u32) -> Stats {
        let stats = self.stats.lock().expect("no panic while held");
        stats.get(&server).copied().unwrap_or_default()
    }

    /// Number of packets and connections that filters refused for a reason.
    pub(crate) fn refused(&self, what: Refused) -> u64 {
        self.refused[what as usize].load(SeqCst)
    }

    /// Open connections of a limited client; `None`: it is not known.
    pub(crate) fn open(&self, service: u32, client: IpAddr) -> Option<i32> {
        let mask = self.client_mask(service)?;
        let key = ClientKey::new(mask, service, &wide(client));
        let ClientSlot { set, way } = find(self, &key)?;
        Some(set.connections(way))
    }

    /// SYNs that clients of a server repeated.
    pub(crate) fn syn_retries(&self, server: u32) -> u32 {
        self.syn_retries[server as usize].load(SeqCst)
    }

    /// Persistence templates that a server is counted to have.
    pub(crate) fn templates(&self, server: u32) -> u32 {
        Tables::load(self, server).templates
    }

    /// Templates of which a connection was established.
    #[allow(dead_code, reason = "frames only")]
    pub(crate) fn assured_templates(&self) -> usize {
        fn of<F: Family>(sets: &[Set<F>]) -> usize {
            sets.iter()
                .flat_map(Set::taken)
                .filter(|(tag, key, _)| {
                    key.kind == Kind::Template as u8
                        && tag.state() == ASSURED
                        && !tag.is_half_open()
                })
                .count()
        }
        of(&self.v4) + of(&self.v6)
    }

    /// States of all connections by server, replies left out.
    pub(crate) fn states(&self) -> Vec<(u32, &'static str)> {
        fn of<F: Family>(director: &Director, sets: &[Set<F>]) -> Vec<(u32, &'static str)> {
            sets.iter()
                .flat_map(Set::taken)
                .filter(|(_, key, _)| key.kind == Kind::Request as u8)
                .map(|(tag, key, record)| {
                    let protocol = Protocol::from_number(key.protocol).expect("balanced");
                    (
                        director.server_of(&record),
                        protocol.state_name(tag.state()),
                    )
                })
                .collect()
        }
        let mut states = of(self, &self.v4);
        states.extend(of(self, &self.v6));
        states
    }

    pub(crate) fn sets4(&self) -> &[Set<V4>] {
        &self.v4
    }
}
