//! The ICMP error that a packet is answered with.

use crate::network::Network;
use crate::verdict::Reason;

/// The reason of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IcmpError {
    /// TTL or hop limit used up.
    TimeExceeded,
    /// Larger than the path: "fragmentation needed" or "packet too big", which names the MTU.
    TooBig,
    /// No server is there for the port.
    PortUnreachable,
    /// There is no way to the server, as the kernel's `ipv4_link_failure` and `ip6_link_failure` say it.
    HostUnreachable,
}

/// An ICMP error to be sent. Numbers, not an [`IcmpError`]: what a verifier reads from memory is any number to it,
/// and it follows the making of the answer once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Type.
    pub(super) kind: u8,
    /// Code.
    pub(super) code: u8,
    /// [`Reason`] to be counted.
    pub(super) reason: u8,
    /// Last word of the header.
    pub(super) rest: u32,
}

impl Answer {
    /// The largest packet that would have fitted; 0: it is not about that.
    #[inline(always)]
    pub(super) const fn mtu(self) -> u32 {
        if self.reason == Reason::TooBig as u8 {
            self.rest
        } else {
            0
        }
    }

    /// No answer.
    pub const NONE: Self = Self {
        kind: 0,
        code: 0,
        reason: 0,
        rest: 0,
    };

    /// `mtu` is the largest packet that would have fitted: "fragmentation needed" (RFC 1191) and "packet too
    /// big" (RFC 4443) carry it in their last word.
    #[inline(always)]
    pub(super) const fn new<F: Network>(error: IcmpError, mtu: u32) -> Self {
        let v4 = F::NUMBER == 4;
        let (kind, code, rest) = match error {
            IcmpError::TimeExceeded if v4 => (11, 0, 0),
            IcmpError::TooBig if v4 => (3, 4, mtu & 0xffff),
            IcmpError::PortUnreachable if v4 => (3, 3, 0),
            IcmpError::HostUnreachable if v4 => (3, 1, 0),
            IcmpError::TimeExceeded => (3, 0, 0),
            IcmpError::TooBig => (2, 0, mtu),
            IcmpError::PortUnreachable => (1, 4, 0),
            IcmpError::HostUnreachable => (1, 3, 0),
        };
        let reason = match error {
            IcmpError::TimeExceeded => Reason::TimeExceeded,
            IcmpError::TooBig => Reason::TooBig,
            IcmpError::PortUnreachable => Reason::NoServer,
            IcmpError::HostUnreachable => Reason::ServerUnreachable,
        };
        Self {
            kind,
            code,
            reason: reason as u8,
            rest,
        }
    }
}
