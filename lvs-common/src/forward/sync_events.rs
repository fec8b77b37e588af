//! Events for replication: which connections other directors have to know, and when, as IPVS's master sends
//! them.
//!
//! Nothing is sent here. The daemon gets the entry's id and reads the entry a moment later, so of many events
//! about one connection the last one is enough.

use super::state_change::StateChange;
use super::work::Work;
use crate::connection::{EntryId, Protocol, sctp, tcp};
use crate::network::Network;
use crate::tables::Tables;

/// Returns whether a director that goes on with connections in this state is better off knowing them.
#[inline(always)]
pub const fn is_replicated(protocol: Protocol, state: u8) -> bool {
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

/// Returns whether a connection left its established state, for which there is an event at once.
#[inline(always)]
const fn closes(protocol: Protocol, before: u8, state: u8) -> bool {
    let established = match protocol {
        Protocol::Tcp => tcp::State::Established as u8,
        Protocol::Udp => return false,
        Protocol::Sctp => sctp::State::Established as u8,
    };
    before != state && state != established
}

/// Emits an event for [`Work::change`], if the number of packets or the change of state asks for it.
#[inline(never)]
pub(super) fn emit<F: Network, T: Tables>(tables: T, work: &mut Work<F>) {
    let StateChange {
        number,
        packets,
        before,
        state,
    } = work.change;
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
    if is_replicated(protocol, state) && (due || late || closes(protocol, before, state)) {
        tables.emit_event(EntryId::new::<F>(number));
    }
}

/// Emits an event for the connection in the entry with this number, which stays in its state, if its number
/// of packets asks for it.
///
/// Not left to the stages: with one packet in fifty, IPVS's default, that costs each of them several
/// nanoseconds.
#[inline(never)]
pub(super) fn emit_due<F: Network, T: Tables>(
    tables: T,
    protocol: Protocol,
    state: u8,
    packets: u32,
    number: u32,
) {
    if tables.sync().is_due(packets) && is_replicated(protocol, state) {
        tables.emit_event(EntryId::new::<F>(number));
    }
}
