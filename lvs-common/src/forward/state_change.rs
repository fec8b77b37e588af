//! Changes of connections' states, as packets make them.

use crate::connection::table::{Slot, Ways};
use crate::family::Family;

/// The change of a connection's state by a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateChange {
    /// Number of its entry plus one; 0: there is none.
    pub number: u32,
    /// Packets from its client so far; 0: this one was the server's.
    pub packets: u32,
    /// Its state before.
    pub before: u8,
    /// Its state now.
    pub state: u8,
}

impl StateChange {
    /// No change.
    pub const NONE: Self = Self {
        number: 0,
        packets: 0,
        before: 0,
        state: 0,
    };

    /// Returns whether there is a change.
    #[inline(always)]
    pub const fn is_some(&self) -> bool {
        self.number != 0
    }

    /// The change by a client's packet that was just counted.
    #[inline(always)]
    pub(super) fn of_client<F: Family, S: Ways<F>>(slot: &Slot<S>, state: u8) -> Self {
        Self {
            number: slot.number,
            packets: slot.set.packets(slot.way),
            before: slot.tag.state(),
            state,
        }
    }

    /// The change by a server's packet.
    #[inline(always)]
    pub(super) const fn of_server<S>(slot: &Slot<S>, state: u8) -> Self {
        Self {
            number: slot.number,
            packets: 0,
            before: slot.tag.state(),
            state,
        }
    }
}
