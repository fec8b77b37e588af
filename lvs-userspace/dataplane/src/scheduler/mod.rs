//! IPVS's schedulers: their names, and the tables that turn each into one of the program's picks.
//!
//! A scheduler costs the program only what its [`Pick`] costs. Whatever can be worked out when a
//! service is edited (the order of a weighted round robin, a hash ring) is worked out here and laid
//! out as slots: positions in the service's list of members, newest member first, as IPVS walks it.
//!
//! To add one: a variant, its name, its number, its pick, and a table where the pick reads one.

mod hashed;
mod maglev;
mod rotating;
mod rotation;

use lvs_common::abi::Pick;

pub(crate) use self::rotation::{PoolChange, Pooled, Rotation};

/// One member of the service, as a table is built from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The real server's address, IPv4 in the first four bytes.
    pub(crate) address: std::net::IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// Its weight; 0: quiesced.
    pub(crate) weight: u32,
    /// Its last weight that was not 0.
    pub(crate) last_weight: u32,
}

/// A scheduler this director knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Scheduler {
    None = 0,
    RoundRobin = 1,
    WeightedRoundRobin = 2,
    LeastConnection = 3,
    WeightedLeastConnection = 4,
    SourceHashing = 5,
    DestinationHashing = 6,
    Maglev = 7,
    ShortestExpectedDelay = 8,
    NeverQueue = 9,
    WeightedFailover = 10,
    WeightedOverflow = 11,
    TwoChoices = 12,
    LocalityBased = 13,
    LocalityBasedReplicated = 14,
}

impl Scheduler {
    /// All of them.
    pub(crate) const ALL: [Self; 15] = [
        Self::None,
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::SourceHashing,
        Self::DestinationHashing,
        Self::Maglev,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::WeightedFailover,
        Self::WeightedOverflow,
        Self::TwoChoices,
        Self::LocalityBased,
        Self::LocalityBasedReplicated,
    ];

    /// As `ipvsadm -s` takes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::SourceHashing => "sh",
            Self::DestinationHashing => "dh",
            Self::Maglev => "mh",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::WeightedFailover => "fo",
            Self::WeightedOverflow => "ovf",
            Self::TwoChoices => "twos",
            Self::LocalityBased => "lblc",
            Self::LocalityBasedReplicated => "lblcr",
        }
    }

    /// The scheduler of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scheduler| scheduler.name() == name)
    }

    /// The number that stands for it in [`lvs_common::abi::Plan::scheduler`].
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The scheduler of that number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The way in which the program picks for it.
    pub(crate) const fn pick(self) -> Pick {
        match self {
            Self::None => Pick::Nothing,
            Self::RoundRobin | Self::WeightedRoundRobin => Pick::Rotate,
            Self::LeastConnection => Pick::Least,
            Self::WeightedLeastConnection => Pick::WeightedLeast,
            Self::SourceHashing => Pick::SourceHash,
            Self::DestinationHashing => Pick::DestinationHash,
            Self::Maglev => Pick::Maglev,
            Self::ShortestExpectedDelay => Pick::ShortestDelay,
            Self::NeverQueue => Pick::NeverQueue,
            Self::WeightedFailover => Pick::Failover,
            Self::WeightedOverflow => Pick::Overflow,
            Self::TwoChoices => Pick::TwoRandom,
            Self::LocalityBased => Pick::Locality,
            Self::LocalityBasedReplicated => Pick::LocalitySet,
        }
    }

    /// The slots its pick reads; empty where it reads none or nothing can be picked.
    pub(crate) fn table(self, candidates: &[Candidate]) -> Vec<u16> {
        match self {
            Self::None
            | Self::LeastConnection
            | Self::WeightedLeastConnection
            | Self::ShortestExpectedDelay
            | Self::NeverQueue
            | Self::WeightedFailover
            | Self::WeightedOverflow
            | Self::LocalityBased
            | Self::LocalityBasedReplicated => Vec::new(),
            Self::RoundRobin => rotating::each_once(candidates),
            Self::WeightedRoundRobin | Self::TwoChoices => rotating::weighted(candidates),
            Self::SourceHashing => hashed::by_weight(candidates),
            Self::DestinationHashing => hashed::evenly(candidates),
            Self::Maglev => maglev::table(candidates),
        }
    }
}

/// Positions fit: a service has at most [`lvs_common::abi::MAX_MEMBERS_PER_SERVICE`] members.
fn position(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Greatest common divisor of what is not 0; 1 if all is.
fn common_divisor(weights: impl Iterator<Item = u32>) -> u32 {
    let divisor = weights.fold(0, |mut a, mut b| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    divisor.max(1)
}

#[cfg(test)]
pub(crate) fn candidates(weights: &[u32]) -> Vec<Candidate> {
    (10u32..)
        .zip(weights)
        .map(|(last, &weight)| Candidate {
            address: std::net::Ipv4Addr::from_bits(0xc000_0200 + last).into(),
            port: 80,
            weight,
            last_weight: weight,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back_to_their_scheduler() {
        for scheduler in Scheduler::ALL {
            assert_eq!(Scheduler::from_name(scheduler.name()), Some(scheduler));
            assert_eq!(Scheduler::from_number(scheduler.number()), Some(scheduler));
        }
        assert_eq!(Scheduler::from_name("lbl"), None);
        assert_eq!(Scheduler::from_number(u8::MAX), None);
    }

    #[test]
    fn the_common_divisor_ignores_quiesced_members() {
        assert_eq!(common_divisor([4, 0, 6].into_iter()), 2);
        assert_eq!(common_divisor([0, 0].into_iter()), 1);
        assert_eq!(common_divisor([].into_iter()), 1);
    }

    #[test]
    fn no_table_without_members() {
        for scheduler in Scheduler::ALL {
            assert_eq!(
                scheduler.table(&[]),
                Vec::<u16>::new(),
                "{}",
                scheduler.name()
            );
        }
    }
}
