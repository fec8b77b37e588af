//! The load of real servers: the connections and templates that the table holds of each.

use super::key::Kind;
use super::protocol::Protocol;
use crate::abi::Load;

/// An entry's share in the load of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Server index.
    pub server: u16,
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
    if protocol.active(state) {
        Load::ACTIVE
    } else {
        Load::INACTIVE
    }
}

/// The loads of all servers. Additions are atomic and wrap, so that a negative change is its two's
/// complement.
pub trait Loads: Copy {
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
    let server = u32::from(entry.server);
    if entry.kind == Kind::Template {
        loads.account_template(server, sign.cast_unsigned() as u32);
    } else if let Some(protocol) = Protocol::from_number(entry.protocol) {
        let change = share(protocol, entry.state).wrapping_mul(sign.cast_unsigned());
        loads.account(server, change);
    }
}
