//! Histories: commands and packets made from a seed, to be played against two directors.
//!
//! A history is what befalls a director: services and servers come, change and go, and clients' packets arrive
//! between. The same seed makes the same history everywhere, so that a recording holds only a director's answers. Each
//! step has one: a packet the server that it was sent to, a command what it printed, a reading what it shows.

mod answer;
mod generate;
mod ipvs;
mod model;
mod packet;
mod play;
mod random;
mod readings;
mod wire;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

pub use answer::{Answers, first_difference};
pub use ipvs::Ipvs;
pub use packet::{Kind, Packet};
pub use play::{Director, begin, play, said};
pub use wire::{Wire, neighbours};

/// Addresses of virtual services are from here on, [`SERVICES`] for each seed: nothing that is left over of one
/// history is met by another one.
const VIRTUAL_ADDRESSES: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();
/// Services that a history has at most.
const SERVICES: u32 = 4;
/// Seeds are below this number, by the number of virtual addresses (RFC 2544).
pub const SEEDS: u64 = 1 << 15;

/// A command, a packet or a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line for `ipvsadm -R`.
    Command(String),
    /// A packet of a client.
    Packet(Packet),
    /// Reads servers, weights and counts of connections of all services.
    Services,
    /// Reads states and servers of all connections.
    Connections,
    /// Reads counters of connections, packets and bytes of all services.
    Traffic,
}

impl Step {
    /// Returns whether the step changes the director, rather than reads what became of it.
    pub const fn is_counted(&self) -> bool {
        matches!(self, Self::Command(_) | Self::Packet(_))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(line) => write!(out, "ipvsadm {line}"),
            Self::Packet(packet) => write!(out, "{packet}"),
            Self::Services => out.write_str("ipvsadm -Ln"),
            Self::Connections => out.write_str("ipvsadm -Lcn"),
            Self::Traffic => out.write_str("ipvsadm -Ln --stats"),
        }
    }
}

/// The steps that a seed makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The seed.
    pub seed: u64,
    /// The steps, each with its place in the whole history.
    pub steps: Vec<(usize, Step)>,
}

impl History {
    /// The whole history of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: generate::steps(seed).into_iter().enumerate().collect(),
        }
    }

    /// The steps at some places of it, in their order.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let kept = self
            .steps
            .iter()
            .filter(|(place, _)| places.contains(place));
        Self {
            seed: self.seed,
            steps: kept.cloned().collect(),
        }
    }

    /// The places of its steps in the whole history.
    pub fn places(&self) -> Vec<usize> {
        self.steps.iter().map(|(place, _)| *place).collect()
    }

    /// The number of commands and packets.
    pub fn count(&self) -> usize {
        let counted = self.steps.iter().filter(|(_, step)| step.is_counted());
        counted.count()
    }

    /// A number that a change of the generator changes (FNV-1a): what was recorded of another history is no answer to
    /// this one.
    pub fn fingerprint(&self) -> u32 {
        let mut hash = 0x811c_9dc5_u32;
        for (_, step) in &self.steps {
            for byte in format!("{step}\n").bytes() {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
        }
        hash
    }

    /// The text that [`History::parse`] reads: the seed, and the places if some are left out.
    pub fn text(&self) -> String {
        if *self == Self::new(self.seed) {
            return self.seed.to_string();
        }
        let places: Vec<_> = self.places().iter().map(ToString::to_string).collect();
        format!("{}:{}", self.seed, places.join(","))
    }

    /// A history by its text; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (seed, places) = text
            .split_once(':')
            .map_or((text, None), |(seed, places)| (seed, Some(places)));
        let seed = seed.parse().ok().filter(|seed| *seed < SEEDS)?;
        let history = Self::new(seed);
        let Some(places) = places else {
            return Some(history);
        };
        let places = places.split(',').filter(|place| !place.is_empty());
        let places: Vec<usize> = places.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(history.only(&places))
    }
}

/// The address of a history's service.
fn virtual_address(seed: u64, number: u32) -> Ipv4Addr {
    let seed = u32::try_from(seed % SEEDS).unwrap_or(0);
    Ipv4Addr::from_bits(VIRTUAL_ADDRESSES + seed * SERVICES + number)
}

/// Returns whether a service of the seed's history has this address.
fn is_of(seed: u64, address: Ipv4Addr) -> bool {
    (0..SERVICES).any(|number| virtual_address(seed, number) == address)
}

/// A real server by its number, from 1 on.
const fn server_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, FIRST_SERVER + number)
}

/// The number of the real server that has an address.
const fn server_number(address: Ipv4Addr) -> u8 {
    address.octets()[3].wrapping_sub(FIRST_SERVER)
}

/// The last byte of the address before that of the first real server.
const FIRST_SERVER: u8 = 10;
/// Real servers that there are.
const SERVERS: u8 = 8;
/// Datagrams to this service always go to [`MARKER_SERVER`]: they tell that all frames before them were handled.
const MARKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 9);
/// See [`MARKER`].
const MARKER_SERVER: u8 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_makes_the_same_history() {
        let history = History::new(7);
        assert_eq!(history, History::new(7));
        assert_ne!(history.fingerprint(), History::new(8).fingerprint());
        assert_eq!(History::parse("7"), Some(history.clone()));
        let part = history.only(&[0, 2, 5]);
        assert_eq!(part.text(), "7:0,2,5");
        assert_eq!(History::parse("7:0,2,5"), Some(part));
        assert_eq!(History::parse("x"), None);
        assert_eq!(History::parse("99999"), None);
    }

    #[test]
    fn histories_have_commands_packets_and_readings_of_each_kind() {
        for seed in 0..50 {
            let history = History::new(seed);
            let has = |is: fn(&Step) -> bool| history.steps.iter().any(|(_, step)| is(step));
            assert!(has(|step| matches!(step, Step::Command(_))), "{seed}");
            assert!(has(|step| matches!(step, Step::Packet(_))), "{seed}");
            assert!(has(|step| *step == Step::Services), "{seed}");
            assert!(has(|step| *step == Step::Connections), "{seed}");
            assert!(has(|step| *step == Step::Traffic), "{seed}");
        }
    }
}
