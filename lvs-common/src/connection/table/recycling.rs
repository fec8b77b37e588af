//! The entries that may be recycled when sets are full, and their order.
//!
//! An entry earns its keep. It begins half-open, or at least *unproven*: that it exists says no more than that
//! somebody sent a packet or two, which needs no host at the address that they claim to come from. It is *proven*
//! once its client sent [`PROVEN_PACKETS`] and was heard [`PROVEN_TIME`] after the first of them. One that is
//! closing has had its time: it may be recycled, too, but not while it carries what the other side still has to say,
//! because then others are idle for longer.
//!
//! Nothing of this is noted while packets are handled: who needs a way works it out from what an entry holds
//! anyway. The moment at which it began stands where a NAT connection has the number of its partner
//! ([`alone`]); of a NAT connection it is the time of its reply entry, which no packet changes.
//!
//! Among what may be recycled the longest idle goes first. Time counts four times for half-open connections:
//! of a flood of SYNs they go before those whose handshake is complete, while a handshake over a slow path has
//! the better part of a second less to fear from a flood of complete ones.

use super::find::by_number;
use super::new::{New, Survey};
use super::slot::Slot;
use super::ways::{Store, Ways};
use crate::abi::{WAYS, age, ticks};
use crate::connection::{Kind, Record, Tag, sctp, tcp};
use crate::family::Family;

/// Packets of its client that prove a connection, see [`PROVEN_TIME`].
pub const PROVEN_PACKETS: u32 = 4;
/// Ticks between the first and the last packet of a proven connection at least: half a second.
pub const PROVEN_TIME: u32 = ticks(1) / 2;

/// Class of a victim that is expired.
pub(super) const EXPIRED: u64 = 4 << 40;
/// Class of a victim of the service that holds more than its share, for the connections of others.
pub(super) const CROWD: u64 = 2 << 40;
/// Class of any other victim.
pub(super) const RECYCLABLE: u64 = 1 << 40;

/// The bit of a partner's number that there is none: the others are the clock's.
const ALONE: u32 = 1 << 31;

/// In place of the number of a partner: there is none, and the entry begins now.
#[inline(always)]
pub const fn alone(now: u32) -> u32 {
    now | ALONE
}

/// Ticks that one CPU's clock may be ahead of another's at most.
const AHEAD: u32 = ticks(1);

/// States in which a connection is over, or one side has nothing more to say, as bits: those of TCP in the lower
/// half, those of SCTP, whose protocol number is the only one above 127, in the upper half.
const CLOSING: u32 = {
    use sctp::State as Sctp;
    use tcp::State as Tcp;
    1 << Tcp::FinWait as u32
        | 1 << Tcp::TimeWait as u32
        | 1 << Tcp::Close as u32
        | 1 << Tcp::CloseWait as u32
        | 1 << Tcp::LastAck as u32
        | 1 << (16 + Sctp::ShutdownSent as u32)
        | 1 << (16 + Sctp::ShutdownReceived as u32)
        | 1 << (16 + Sctp::ShutdownAckSent as u32)
        | 1 << (16 + Sctp::Rejected as u32)
        | 1 << (16 + Sctp::Closed as u32)
};

/// The fields of a connection that decide whether it is proven.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its tag.
    pub tag: Tag,
    /// IP protocol number.
    pub protocol: u8,
    /// Packets of its client; 0: another director's, whose judgement it is.
    pub packets: u32,
    /// Tick of its last packet.
    pub seen: u32,
    /// Tick of its first packet, the highest bit aside.
    pub born: u32,
}

impl Standing {
    /// Returns whether the connection earned its entry, and is not closing.
    ///
    /// Arithmetic instead of branches: a verifier follows one path.
    #[inline(always)]
    pub const fn is_proven(self) -> bool {
        let state = self.tag.state() as u32 & 15;
        let closing = CLOSING >> ((self.protocol as u32 >> 7) * 16 + state);
        // Another CPU may have read the clock a little earlier. The highest bit of `born` is not the clock's.
        let lasted = self.seen.wrapping_sub(self.born).wrapping_add(AHEAD) & !ALONE;
        let young = is_less(lasted, PROVEN_TIME + AHEAD);
        let few = is_less(self.packets, PROVEN_PACKETS);
        let replica = is_less(self.packets, 1);
        let half_open = (self.tag.0 & Tag::HALF_OPEN) / Tag::HALF_OPEN;
        ((young | few) & !replica | closing | half_open) & 1 == 0
    }
}

/// 1 if the first number is less than the second, else 0.
#[inline(always)]
pub(super) const fn is_less(first: u32, second: u32) -> u32 {
    ((first as u64).wrapping_sub(second as u64) >> 63) as u32
}

/// 1 if a record is of the service that holds more than its share (its index plus one; 0: none does), else 0. A server
/// is asked for its service only while there is one.
#[inline(always)]
pub(super) fn crowded<F: Family, T: Store<F>>(table: T, crowd: u32, record: &Record) -> u32 {
    let service = if table.has_long_indexes() && crowd == 0 {
        0
    } else {
        table.service_of(record)
    };
    is_less(crowd ^ service.wrapping_add(1), 1)
}

/// Judges an entry that is in the way of a new one, `turn` being its place among those of both sets: notes it in
/// [`Survey::victims`] if it may be recycled and none that was judged before should go first. Its rank is its class
/// with its weighted idle time.
///
/// In memory, so that a verifier follows what comes after once.
#[inline(never)]
pub(super) fn judge<F: Family, T: Store<F>>(table: T, number: u32, turn: u32, new: &mut New<F>) {
    let Some(Slot { set, way, tag, .. }) = by_number::<F, T>(table, number) else {
        return;
    };
    let key = set.key(way);
    let mut standing = Standing {
        tag,
        protocol: key.protocol,
        packets: set.packets(way),
        seen: set.seen(way),
        born: set.partner(way),
    };
    let half_open = (tag.0 & Tag::HALF_OPEN) / Tag::HALF_OPEN;
    let idle = age(new.now, standing.seen);
    if idle > set.timeout(way) {
        note(new, turn, EXPIRED | u64::from(idle) << 4, half_open);
        return;
    }
    if standing.born & ALONE == 0 {
        // Not yet tied together, or left over: the sweep's.
        let Some(other) = partner::<F, T>(table, set, way, number) else {
            return;
        };
        let seen = other.set.seen(other.way);
        if key.kind == Kind::Reply as u8 {
            // The entry for replies goes with its connection, which is judged in its place.
            standing.born = standing.seen;
            standing.tag = other.tag;
            standing.packets = other.set.packets(other.way);
            standing.seen = seen;
        } else {
            standing.born = seen;
        }
    }
    if standing.is_proven() {
        return;
    }
    // Of two services each recycles its own, and the one that holds too much gives to others first.
    let Survey {
        crowd, confined, ..
    } = new.survey;
    let crowded = crowded::<F, T>(table, crowd, &set.record(way));
    if confined & !crowded != 0 {
        return;
    }
    let class = RECYCLABLE + u64::from(crowded) * (CROWD - RECYCLABLE);
    let waits = (standing.tag.0 & Tag::HALF_OPEN) / Tag::HALF_OPEN;
    let idle = u64::from(age(new.now, standing.seen)) << (2 * waits) << 1 | u64::from(waits);
    note(new, turn, class | idle << 4, half_open);
}

/// Notes an entry with this rank, if none that was noted before should go first.
#[inline(always)]
fn note<F: Family>(new: &mut New<F>, turn: u32, rank: u64, half_open: u32) {
    let ranked = rank | u64::from(turn & 15);
    let index = ((turn / WAYS) & 1) as usize;
    let found = &mut new.survey;
    if let Some(victim) = found.victims.get_mut(index) {
        *victim = (*victim).max(ranked);
    }
    if let Some(victim) = found.half_open_victims.get_mut(index) {
        *victim = (*victim).max(ranked * u64::from(half_open));
    }
}

/// The entry for the other direction, if the two lead to each other.
#[inline(always)]
pub(super) fn partner<F: Family, T: Store<F>>(
    table: T,
    set: T::Set,
    way: u32,
    number: u32,
) -> Option<Slot<T::Set>> {
    let other = by_number::<F, T>(table, set.partner(way))?;
    (other.set.partner(other.way) == number).then_some(other)
}

/// Returns whether an entry has no entry for the other direction, or the two lead to each other.
#[inline(always)]
pub(super) fn is_whole<F: Family, T: Store<F>>(
    table: T,
    set: T::Set,
    way: u32,
    number: u32,
) -> bool {
    set.partner(way) & ALONE != 0 || partner::<F, T>(table, set, way, number).is_some()
}
