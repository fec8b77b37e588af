//! The load of real servers: the connections and templates that the table holds of each.

use super::key::Kind;
use super::protocol::Protocol;
use super::servers::Servers;
use crate::abi::Load;

/// An entry's share in the load of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Server index.
    pub server: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// A connection or a template, never a reply.
    pub kind: Kind,
    /// Its state when it is counted, or was last.
    pub state: u8,
}

/// The addition of a connection in a state to [`Load::counts`].
#[inline(always)]
pub const fn share(protocol: Protocol, state: u8) -> u64 {
    addition(protocol.number(), state)
}

/// States in which a connection counts as active, as bits: those of TCP in the lower half, those of SCTP, whose
/// protocol number is the only one above 127, in the upper half. UDP's only state is none of them.
const ACTIVE: u32 = {
    let mut bits = 0;
    let mut state = 0;
    while state < 16 {
        bits |= (Protocol::Tcp.active(state) as u32) << state;
        bits |= (Protocol::Sctp.active(state) as u32) << (16 + state);
        state += 1;
    }
    bits
};

/// The same by the protocol's number, without a branch: whoever verifies the program follows one path.
#[inline(always)]
const fn addition(protocol: u8, state: u8) -> u64 {
    let active = ACTIVE >> ((protocol as u32 >> 7) * 16 + (state as u32 & 15)) & 1;
    Load::INACTIVE
        .wrapping_add((active as u64).wrapping_mul(Load::ACTIVE.wrapping_sub(Load::INACTIVE)))
}

/// The loads of all servers. Additions are atomic and wrap, so that a negative change is its two's
/// complement.
pub trait Loads: Servers {
    /// Adds to a server's [`Load::counts`].
    fn account(self, server: u32, change: u64);
    /// Adds to a server's [`Load::templates`].
    fn account_template(self, server: u32, change: u32);
    /// Counts a connection or template; called by whoever inserts it, before it can be found.
    #[inline(always)]
    fn entered(self, share: Share) {
        account(self, share, 1);
    }
    /// Counts one less; called exactly once for each that leaves the table, by whoever removed it.
    #[inline(always)]
    fn removed(self, share: Share) {
        account(self, share, -1);
    }
}

/// Accounts for an entry that comes (1) or goes (-1).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "1 or -1")]
fn account<L: Loads>(loads: L, entry: Share, sign: i64) {
    if entry.kind == Kind::Template {
        loads.account_template(entry.server, sign.cast_unsigned() as u32);
    } else {
        let change = addition(entry.protocol, entry.state).wrapping_mul(sign.cast_unsigned());
        loads.account(entry.server, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_as_its_protocol_says() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let states = if protocol == Protocol::Udp { 1 } else { 14 };
            for state in 0..states {
                let expected = if protocol.active(state) {
                    Load::ACTIVE
                } else {
                    Load::INACTIVE
                };
                assert_eq!(share(protocol, state), expected, "{protocol:?} {state}");
            }
        }
    }
}
