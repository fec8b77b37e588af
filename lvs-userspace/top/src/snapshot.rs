//! The director at one moment, as far as a page shows it.

use lvs_api::health::Health;
use lvs_api::peers::PeersStatus;
use lvs_api::protocol::{Services, Status, TotalTraffic, VerdictCount};
use lvs_api::role::RoleStatus;

use crate::options::Tab;

/// The director at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) role: RoleStatus,
    pub(crate) traffic: TotalTraffic,
    pub(crate) detail: Detail,
}

/// What one page shows beside that. The answers for the others are not asked for: of many services they are long.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    /// Services and real servers; no health: nobody checks them.
    Services(Services, Option<Health>),
    Verdicts(Vec<VerdictCount>),
    /// The status has it.
    Tables,
    Peers(PeersStatus),
}

impl Detail {
    /// True if it is what this page shows.
    pub(crate) const fn is_for(&self, tab: Tab) -> bool {
        matches!(
            (self, tab),
            (
                Self::Services(..),
                Tab::Services | Tab::Servers | Tab::Checks
            ) | (Self::Verdicts(_), Tab::Verdicts)
                | (Self::Tables, Tab::Tables)
                | (Self::Peers(_), Tab::Peers)
        )
    }
}
