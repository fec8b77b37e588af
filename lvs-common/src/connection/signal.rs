//! Signals: the effect of packets on the states of their connections.

use super::direction::Direction;
use super::{sctp, tcp};

/// The effect of a packet on its connection, by its flags or its first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing: a later fragment, or a TCP segment without flags.
    Nothing,
    /// A TCP segment.
    Tcp(tcp::Event),
    /// A UDP datagram.
    Udp,
    /// An SCTP packet, by its first chunk.
    Sctp(sctp::Event),
}

impl Signal {
    /// Returns whether a packet like this starts a connection.
    pub const fn starts(self) -> bool {
        matches!(
            self,
            Self::Udp | Self::Tcp(tcp::Event::Syn) | Self::Sctp(sctp::Event::Init)
        )
    }

    /// Returns whether a packet like this ends a connection at once: it begins none, whatever the settings.
    pub const fn is_abortive(self) -> bool {
        matches!(
            self,
            Self::Tcp(tcp::Event::Rst) | Self::Sctp(sctp::Event::Abort)
        )
    }

    /// State after this packet.
    #[inline(always)]
    pub fn next(self, direction: Direction, state: u8) -> u8 {
        match self {
            Self::Nothing | Self::Udp => state,
            Self::Tcp(event) => tcp::next(direction, event, state),
            Self::Sctp(event) => sctp::next(direction, event, state),
        }
    }
}
