//! The protocols that are balanced.

use super::{sctp, tcp};

/// Transport protocols that are balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
    /// RFC 9260.
    Sctp = 132,
}

impl Protocol {
    /// The protocol of an IP protocol number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }

    /// IP protocol number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Row of [`crate::abi::Config::timeouts`].
    pub const fn timeouts_row(self) -> u32 {
        match self {
            Self::Tcp => 0,
            Self::Udp => 1,
            Self::Sctp => 2,
        }
    }

    /// Name of a state as `ipvsadm -Lc` prints it.
    pub const fn state_name(self, state: u8) -> &'static str {
        match self {
            Self::Tcp => tcp::State::from_raw(state).name(),
            Self::Udp => "UDP",
            Self::Sctp => sctp::State::from_raw(state).name(),
        }
    }

    /// Returns whether a connection in this state counts as active.
    pub const fn active(self, state: u8) -> bool {
        match self {
            Self::Tcp => tcp::State::from_raw(state).active(),
            Self::Udp => false,
            Self::Sctp => sctp::State::from_raw(state).active(),
        }
    }

    /// Returns whether connections in a state are being ended, or have ended.
    #[inline(always)]
    pub const fn closing(self, state: u8) -> bool {
        match self {
            Self::Tcp => tcp::State::from_raw(state).closing(),
            Self::Udp => false,
            Self::Sctp => sctp::State::from_raw(state).closing(),
        }
    }
}
