//! The idle timeouts, by protocol and state: IPVS's defaults, and those in the settings and in plans.

use super::{Protocol, Record, tcp};
use crate::abi::{Config, Plan};

/// IPVS's idle timeouts of TCP in seconds, in the order of [`tcp::State`].
const TCP: [u32; 16] = [
    2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 0, 0, 0, 0, 0,
];

/// The same of SCTP, in the order of [`super::sctp::State`].
const SCTP: [u32; 16] = [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61, 0, 0];

impl Protocol {
    /// IPVS's timeouts in seconds, by state.
    pub const fn default_timeouts(self) -> [u32; 16] {
        match self {
            Self::Tcp => TCP,
            Self::Udp => [300; 16],
            Self::Sctp => SCTP,
        }
    }
}

impl Config {
    /// Ticks without a packet after which a connection in this state is forgotten.
    #[inline(always)]
    pub fn timeout(&self, protocol: Protocol, state: u8) -> u32 {
        let index = Self::timeout_index(protocol, u32::from(state));
        self.timeouts.get(index).copied().unwrap_or(0)
    }

    /// Place of a timeout in `timeouts`.
    pub const fn timeout_index(protocol: Protocol, state: u32) -> usize {
        protocol.timeouts_row() as usize * 16 + (state as usize & 15)
    }
}

impl Plan {
    /// The service's own timeout of its connections in a state; 0: it is that of all services.
    #[inline(always)]
    pub fn timeout(&self, protocol: Protocol, state: u8) -> u32 {
        let [established, closing, udp] = self.timeouts;
        match protocol {
            Protocol::Tcp if state == tcp::State::Established as u8 => established,
            Protocol::Tcp if state == tcp::State::FinWait as u8 => closing,
            Protocol::Udp => udp,
            Protocol::Tcp | Protocol::Sctp => 0,
        }
    }

    /// Bits of [`Record::method`] for its connections.
    #[inline(always)]
    pub const fn timeout_bit(&self) -> u8 {
        let [established, closing, udp] = self.timeouts;
        if established | closing | udp == 0 {
            0
        } else {
            Record::OWN_TIMEOUT
        }
    }
}
