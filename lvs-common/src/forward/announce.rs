//! Of which connections another director hears, and when: as IPVS's master tells them.
//!
//! Nothing is sent here. The daemon is given the entry's number and reads what it finds there a moment
//! later, so of many events about one connection the last one tells it all.

use crate::abi::event;
use crate::connection::table::{Slot, Store, Ways};
use crate::connection::{Protocol, sctp, tcp};
use crate::family::Family;
use crate::tables::Tables;

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

/// Tells of a connection whose client's packet was just counted, by its number of packets or its change
/// of state.
#[inline(always)]
pub(super) fn from_client<F: Family, T: Tables + Store<F>>(
    tables: T,
    slot: &Slot<<T as Store<F>>::Set>,
    protocol: Protocol,
    state: u8,
) {
    let sync = tables.sync();
    if sync.on == 0 || !worth_telling(protocol, state) {
        return;
    }
    let packets = slot.set.packets(slot.way);
    let turn = match sync.period {
        0 => packets,
        period => packets % period,
    };
    if turn == sync.threshold || closes(protocol, slot.tag.state(), state) {
        tables.tell(event(F::NUMBER, slot.number));
    }
}

/// Tells of a connection whose server's packet changed its state.
#[inline(always)]
pub(super) fn from_server<F: Family, T: Tables + Store<F>>(
    tables: T,
    slot: &Slot<<T as Store<F>>::Set>,
    protocol: Protocol,
    state: u8,
) {
    let closing = closes(protocol, slot.tag.state(), state) && worth_telling(protocol, state);
    if closing && tables.sync().on != 0 {
        tables.tell(event(F::NUMBER, slot.number));
    }
}
