//! One packet's effect on its connection's state.

use super::direction::Direction;
use super::half_open::half_open;
use super::key::Kind;
use super::load::{Share, share};
use super::protocol::Protocol;
use super::signal::Signal;
use super::table::{Slot, Store, Ways, pin};
use crate::family::Family;

/// Moves a connection to the state after a packet and its server's counts with it. Returns the
/// state; to `opened` goes 1 if the packet made it active, -1 if it no longer is, else nothing.
///
/// Two CPUs may handle packets of one connection at once. Only the winner of an exchange accounts for
/// it, and the loser steps again from the state the winner left, so that neither packet is lost
/// on the state machine and counts stay exact.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
pub fn step<F: Family, T: Store<F>>(
    tables: T,
    slot: &Slot<T::Set>,
    server: u32,
    protocol: Protocol,
    direction: Direction,
    signal: Signal,
    opened: &mut u32,
) -> u8 {
    let mut tag = slot.tag;
    let mut attempt = 0;
    while attempt < 2 {
        let state = signal.next(direction, tag.state());
        let new = tag.live(state, half_open(protocol, state));
        if new == tag {
            return state;
        }
        // First the reply entry: it must not be recycled, and take its connection along, once that is
        // established.
        if new.is_half_open() != tag.is_half_open() {
            pin::<F, T>(tables, slot.set.partner(slot.way), new.is_half_open());
        }
        if slot.set.exchange(slot.way, tag, new) {
            let change = share(protocol, state).wrapping_sub(share(protocol, tag.state()));
            if change != 0 {
                tables.account(server, change);
                // Active connections are the low half: one more or one less.
                *opened = change as u32;
            }
            return state;
        }
        tag = slot.set.tag(slot.way);
        if !tag.is_live() || !tag.same_connection(slot.tag) {
            return state;
        }
        attempt += 1;
    }
    tag.state()
}

/// Puts a connection or template into the state that another director saw it in, and its server's counts
/// with it. False: it is gone.
///
/// Packets may step it at the same time; as in [`step`], each exchange is accounted for by who wins it.
pub fn resume<F: Family, T: Store<F>>(
    table: T,
    slot: &Slot<T::Set>,
    state: u8,
    half_open: bool,
) -> bool {
    let key = slot.set.key(slot.way);
    let server = table.server_of(&slot.set.record(slot.way));
    let share = |state| Share {
        server,
        protocol: key.protocol,
        kind: Kind::from_raw(key.kind),
        state,
    };
    let mut tag = slot.tag;
    while tag.is_live() && tag.same_connection(slot.tag) {
        let new = tag.live(state, half_open);
        if new == tag {
            return true;
        }
        if half_open != tag.is_half_open() {
            pin::<F, T>(table, slot.set.partner(slot.way), half_open);
        }
        if slot.set.exchange(slot.way, tag, new) {
            table.entered(share(state));
            table.removed(share(tag.state()));
            return true;
        }
        tag = slot.set.tag(slot.way);
    }
    false
}
