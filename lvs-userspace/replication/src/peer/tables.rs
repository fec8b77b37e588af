//! The maps that entries are read from and replicas are applied to.

use lvs_common::abi::{Config, Plan, Server};
use lvs_dataplane::kernel::{Mapping, Maps, ServerLoads};

use crate::calls::CallIds;
use crate::entries::Entries;

/// Those of a director, or of a test.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) config: &'a Mapping<Config>,
    pub(super) active_plans: &'a Mapping<u32>,
    pub(super) plans: &'a Mapping<Plan>,
    pub(super) servers: &'a Mapping<Server>,
    pub(super) loads: &'a ServerLoads,
    pub(super) entries: Entries<'a>,
    pub(super) calls: &'a dyn CallIds,
}

impl<'a> From<&'a Maps> for Tables<'a> {
    fn from(maps: &'a Maps) -> Self {
        Self {
            config: &maps.config,
            active_plans: &maps.active_plans,
            plans: &maps.plans,
            servers: &maps.servers,
            loads: &maps.loads,
            entries: maps.into(),
            calls: &maps.calls,
        }
    }
}
