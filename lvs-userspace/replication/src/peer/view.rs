//! The tables that connections are told from and taken into.

use lvs_common::abi::{Config, Load, Plan, Server};
use lvs_common::family::{V4, V6};

use lvs_dataplane::kernel::{Entries, Mapping, Maps};

/// Some of the maps.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) config: &'a Mapping<Config>,
    pub(super) heads: &'a Mapping<u32>,
    pub(super) plans: &'a Mapping<Plan>,
    pub(super) servers: &'a Mapping<Server>,
    pub(super) loads: &'a Mapping<Load>,
    pub(super) connections4: &'a Entries<V4>,
    pub(super) connections6: &'a Entries<V6>,
}

impl<'a> From<&'a Maps> for View<'a> {
    fn from(maps: &'a Maps) -> Self {
        Self {
            config: &maps.config,
            heads: &maps.heads,
            plans: &maps.plans,
            servers: &maps.servers,
            loads: &maps.loads,
            connections4: &maps.connections4,
            connections6: &maps.connections6,
        }
    }
}

impl View<'_> {
    /// Entries of both tables.
    pub(super) const fn ways(&self) -> [u32; 2] {
        [self.connections4.len(), self.connections6.len()]
    }
}
