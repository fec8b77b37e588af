//! Of which connections another director hears, and when: as IPVS's master tells them.
//!
//! Nothing is sent here. The daemon is given the entry's number and reads what it finds there a moment
//! later, so of many events about one connection the last one tells it all.

use super::Work;
use crate::connection::table::{Slot, Ways};
use crate::connection::{EntryId, Protocol, sctp, tcp};
use crate::family::Family;
use crate::network::Network;
use crate::tables::Tables;

/// What a packet did to a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// Number of its entry plus one; 0: nothing to tell.
    pub number: u32,
    /// Packets from its client so far; 0: this one was the server's.
    pub packets: u32,
    /// Its state before.
    pub before: u8,
    /// Its state now.
    pub state: u8,
}

impl News {
    /// Nothing.
    pub const NONE: Self = Self {
        number: 0,
        packets: 0,
        before: 0,
        state: 0,
    };

    /// Whether there is anything to look at.
    #[inline(always)]
    pub const fn is_some(&self) -> bool {
        self.number != 0
    }

    /// A client's packet that was just counted.
    #[inline(always)]
    pub(super) fn of_client<F: Family, S: Ways<F>>(slot: &Slot<S>, state: u8) -> Self {
        Self {
            number: slot.number,
            packets: slot.set.packets(slot.way),
            before: slot.tag.state(),
            state,
        }
    }

    /// A server's packet.
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

/// Whether a director that goes on with connections in this state is better off knowing them.
#[inline(always)]
pub const fn worth_telling(protocol: Protocol, state: u8) -> bool {
    match protocol {
        Protocol::Tcp => matches!(
            tcp::State::from_raw(state),
            tcp::State::Established
                | tcp::State::FinWait
                | tcp::State::TimeWait
                | tcp::State::Close
                | tcp::State::CloseWait
        ),
        Protocol::Udp => true,
        Protocol::Sctp => matches!(
            sctp::State::from_raw(state),
            sctp::State::Established
                | sctp::State::ShutdownSent
                | sctp::State::ShutdownReceived
                | sctp::State::ShutdownAckSent
                | sctp::State::Closed
        ),
    }
}

/// Whether a connection left its established state, which is told at once.
#[inline(always)]
const fn closes(protocol: Protocol, before: u8, state: u8) -> bool {
    let established = match protocol {
        Protocol::Tcp => tcp::State::Established as u8,
        Protocol::Udp => return false,
        Protocol::Sctp => sctp::State::Established as u8,
    };
    before != state && state != established
}

/// Tells of the connection in [`Work::news`], if its number of packets or its change of state asks for
/// it.
#[inline(never)]
pub(super) fn announce<F: Network, T: Tables>(tables: T, work: &mut Work<F>) {
    let News {
        number,
        packets,
        before,
        state,
    } = work.news;
    let sync = tables.sync();
    let due = sync.is_due(packets);
    // Most packets end here.
    if !due && before == state {
        return;
    }
    let Some(protocol) = work.forward.protocol else {
        return;
    };
    // IPVS misses a connection whose client repeated its SYN until the threshold was passed.
    let late = before != state && packets > sync.threshold;
    if worth_telling(protocol, state) && (due || late || closes(protocol, before, state)) {
        tables.tell(EntryId::new::<F>(number));
    }
}

/// Tells of the connection in the entry with this number, which stays in its state, if its number of packets
/// asks for it.
///
/// Not left to the stages: with one packet in fifty, IPVS's default, that costs each of them several
/// nanoseconds.
#[inline(never)]
pub(super) fn repeat<F: Network, T: Tables>(
    tables: T,
    protocol: Protocol,
    state: u8,
    packets: u32,
    number: u32,
) {
    if tables.sync().is_due(packets) && worth_telling(protocol, state) {
        tables.tell(EntryId::new::<F>(number));
    }
}
