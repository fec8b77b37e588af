//! The state of one virtual address of a master.

use lvs_api::role::AddressStatus;
use lvs_api::virtual_address::VirtualAddress;
use tracing::{error, info, warn};

use super::conflict::{Conflicts, spell};
use super::interface_addresses::Origin;

/// A virtual address, and the outcomes of the last attempts to add and announce it.
pub(super) struct HeldAddress {
    pub(super) name: VirtualAddress,
    /// `None`: it is not there.
    origin: Option<Origin>,
    /// The reason why it is not there.
    missing: Option<String>,
    /// The reason why it is not announced.
    silent: Option<String>,
}

impl HeldAddress {
    pub(super) const fn new(name: VirtualAddress) -> Self {
        Self {
            name,
            origin: None,
            missing: None,
            silent: None,
        }
    }

    /// True if an lvsd added it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.origin, Some(Origin::Added | Origin::Adopted))
    }

    /// Records the outcome of an attempt to add it. True: the schedule of announcements is to restart.
    pub(super) fn record_addition(&mut self, outcome: Result<Origin, String>) -> bool {
        let name = &self.name;
        let before = self.origin;
        let origin = match outcome {
            Ok(origin) => origin,
            Err(why) => {
                if self.missing.as_ref() != Some(&why) {
                    error!("{why}");
                }
                self.origin = None;
                self.missing = Some(why);
                return false;
            }
        };
        match (before, origin) {
            (Some(Origin::Foreign), Origin::Foreign) | (Some(_), Origin::Adopted) => {}
            (_, Origin::Foreign) => {
                warn!("{name} is there already: it is left to whoever added it");
            }
            (Some(_), Origin::Added) => warn!("{name} was gone: it is added again"),
            (None, _) => info!("{name} is held"),
        }
        self.origin = Some(origin);
        self.missing = None;
        origin == Origin::Added || before.is_none()
    }

    /// Records the outcome of an attempt to send something about it.
    pub(super) fn record_send(&mut self, outcome: std::io::Result<()>) {
        let silent = outcome
            .err()
            .map(|error| format!("it cannot be announced: {error}"));
        if let Some(why) = silent.as_ref().filter(|_| self.silent != silent) {
            warn!("{}: {why}", self.name);
        }
        self.silent = silent;
    }

    /// Its state, for people.
    pub(super) fn status(&self, conflicts: &Conflicts) -> AddressStatus {
        let foreign = (self.origin == Some(Origin::Foreign))
            .then(|| "somebody else added it: it is neither announced nor removed".to_owned());
        AddressStatus {
            address: self.name.clone(),
            held: self.origin.is_some(),
            problem: self.missing.clone().or(foreign).or(self.silent.clone()),
            duplicate: conflicts.confirmed(self.name.address).map(spell),
        }
    }
}
