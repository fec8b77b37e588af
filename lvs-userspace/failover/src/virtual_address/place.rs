//! One virtual address of a master, and how it is with it.

use tracing::{error, info, warn};

use super::hold::Hold;
use super::rival::Rivals;
use super::spell;
use lvs_api::role::AddressStatus;
use lvs_api::virtual_address::VirtualAddress;

pub(super) struct Place {
    pub(super) name: VirtualAddress,
    /// How it is held.
    hold: Option<Hold>,
    /// Why it is not.
    missing: Option<String>,
    /// Why others do not hear of it.
    silent: Option<String>,
}

impl Place {
    pub(super) const fn new(name: VirtualAddress) -> Self {
        Self {
            name,
            hold: None,
            missing: None,
            silent: None,
        }
    }

    /// Whether lvsd added it.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.hold, Some(Hold::Added | Hold::Kept))
    }

    /// Takes note of an attempt to hold it. True: it is to be announced from the beginning.
    pub(super) fn held(&mut self, outcome: Result<Hold, String>) -> bool {
        let name = &self.name;
        let before = self.hold;
        let hold = match outcome {
            Ok(hold) => hold,
            Err(why) => {
                if self.missing.as_ref() != Some(&why) {
                    error!("{why}");
                }
                self.hold = None;
                self.missing = Some(why);
                return false;
            }
        };
        match (before, hold) {
            (Some(Hold::Foreign), Hold::Foreign) | (Some(_), Hold::Kept) => {}
            (_, Hold::Foreign) => {
                warn!("{name} is there already: it is left to whoever added it");
            }
            (Some(_), Hold::Added) => warn!("{name} was gone: it is added again"),
            (None, _) => info!("{name} is held"),
        }
        self.hold = Some(hold);
        self.missing = None;
        hold == Hold::Added || before.is_none()
    }

    /// Takes note of an attempt to send something about it.
    pub(super) fn sent(&mut self, outcome: std::io::Result<()>) {
        let silent = outcome
            .err()
            .map(|error| format!("it cannot be announced: {error}"));
        if let Some(why) = silent.as_ref().filter(|_| self.silent != silent) {
            warn!("{}: {why}", self.name);
        }
        self.silent = silent;
    }

    pub(super) fn status(&self, rivals: &Rivals) -> AddressStatus {
        let foreign = (self.hold == Some(Hold::Foreign))
            .then(|| "somebody else added it: it is neither announced nor removed".to_owned());
        AddressStatus {
            address: self.name.clone(),
            held: self.hold.is_some(),
            problem: self.missing.clone().or(foreign).or(self.silent.clone()),
            duplicate: rivals.of(self.name.address).map(spell),
        }
    }
}
