//! The clients of services that limit them: open connections, and what they may still do.
//!
//! The table holds as many as there is room for, in sets of four: of a full set the one that was silent for longest
//! is forgotten, and begins anew when it comes back. Packets count the open connections that they begin and close; the
//! sweep counts off those that end without a packet, and finds out what a client has that was forgotten. Until then
//! such a one has too few: limits err to the open side.

use crate::abi::{Address, CLIENT_WAYS, Filter, LimitedClient, Pace, Refused};
use crate::connection::Protocol;
use crate::connection::table::PAIRS;
use crate::family::{Family as _, V6};
use crate::secrets::Secrets;

/// Identity of a limited client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct ClientKey {
    /// Its address, as far as the filter's mask goes.
    pub address: Address,
    /// The service's index.
    pub service: u32,
    /// Always zero.
    pub reserved: u32,
}

impl ClientKey {
    /// The client that an address is of, by a mask as in [`Filter`].
    #[inline(always)]
    pub fn new([high_mask, low_mask]: [u64; 2], service: u32, address: &Address) -> Self {
        let [high, low]: [u64; 2] = zerocopy::transmute!(*address);
        Self {
            address: zerocopy::transmute!([high & high_mask, low & low_mask]),
            service,
            reserved: 0,
        }
    }
}

/// Events that are limited per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paced {
    /// New connections.
    Opening,
    /// Packets.
    Sending,
}

/// A set of clients, shared by every CPU and the daemon: see [`crate::abi::ClientSet`].
pub trait ClientWays: Copy {
    /// The prints of all ways.
    fn prints(self) -> u64;
    /// Replaces the prints if they still are the expected ones.
    fn exchange_prints(self, expected: u64, new: u64) -> bool;
    /// Returns whether a way is this client's.
    fn holds(self, way: u32, key: &ClientKey) -> bool;
    /// Writes a client that begins anew.
    fn write(self, way: u32, client: &LimitedClient);
    /// Clock tick of the last packet of a way's client.
    fn seen(self, way: u32) -> u32;
    /// Notes a packet of a way's client.
    fn see(self, way: u32, now: u32);
    /// Open connections of a way's client.
    fn connections(self, way: u32) -> i32;
    /// Adds to them; wraps.
    fn count(self, way: u32, change: u32);
    /// Value that a way's client has for [`Pace::spend`].
    fn paid(self, way: u32, what: Paced) -> u64;
    /// Replaces that if it still is the expected one.
    fn exchange_paid(self, way: u32, what: Paced, expected: u64, new: u64) -> bool;
}

/// The table of all clients, with the limits that hold for them.
pub trait Clients: Secrets {
    /// A set.
    type ClientSet: ClientWays;
    /// Number of sets, a power of two.
    fn client_sets(self) -> u32;
    /// A set by its number.
    fn client_set(self, number: u32) -> Option<Self::ClientSet>;
    /// The mask of the filter in force of a service, if it has one.
    fn client_mask(self, service: u32) -> Option<[u64; 2]>;
}

/// A client in the table.
#[derive(Clone, Copy)]
pub struct ClientSlot<S> {
    /// Its set.
    pub set: S,
    /// Its way.
    pub way: u32,
}

/// A client's place in the table, in one register: its number plus one; 0: it has none. And whether one that had
/// connections was forgotten for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientPlace(u64);

impl ClientPlace {
    const NONE: Self = Self(0);
    const FORGOTTEN: u64 = 1 << 32;

    /// Returns whether a client that had connections was forgotten for this one.
    #[inline(always)]
    pub const fn has_forgotten(self) -> bool {
        self.0 & Self::FORGOTTEN != 0
    }
}

/// The client at a place.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
pub fn at<C: Clients>(clients: C, place: ClientPlace) -> Option<ClientSlot<C::ClientSet>> {
    let number = (place.0 as u32).checked_sub(1)?;
    Some(ClientSlot {
        set: clients.client_set(number / CLIENT_WAYS)?,
        way: number % CLIENT_WAYS,
    })
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is the number of the set"
)]
fn hashed<C: Clients>(clients: C, key: &ClientKey) -> (u32, u64) {
    let hash = V6::hash(&key.address, &[0; 16], [key.service, 1], clients);
    let set = hash as u32 & clients.client_sets().wrapping_sub(1);
    // Never zero, and below 2 to the 15th.
    (set, hash >> 49 | 1)
}

/// The way with this print, if there is one: without a branch for each.
#[inline(always)]
fn alike(prints: u64, print: u64) -> Option<u32> {
    let differences = prints ^ print.wrapping_mul(PAIRS);
    let same = (PAIRS << 15).wrapping_sub(differences) >> 15 & PAIRS;
    if same == 0 {
        return None;
    }
    let first = same & same.wrapping_neg();
    #[expect(clippy::cast_possible_truncation, reason = "0 to 3")]
    Some((first >> 16 & 1 | (first >> 31 & 2) | (first >> 47 & 2) | (first >> 48 & 1)) as u32)
}

/// Finds a client.
#[inline(always)]
pub fn find<C: Clients>(clients: C, key: &ClientKey) -> Option<ClientSlot<C::ClientSet>> {
    let (set, print) = hashed(clients, key);
    let set = clients.client_set(set)?;
    let way = alike(set.prints(), print)?;
    set.holds(way, key).then_some(ClientSlot { set, way })
}

/// Finds a client, or gives it the way that was silent for longest. No place: another CPU changed the set meanwhile,
/// and the packet is not limited.
#[inline(never)]
pub fn place<C: Clients>(clients: C, key: &ClientKey, now: u32) -> ClientPlace {
    let (number, print) = hashed(clients, key);
    let Some(set) = clients.client_set(number) else {
        return ClientPlace::NONE;
    };
    let prints = set.prints();
    let found = alike(prints, print);
    let way = match found {
        // One of two clients of one print takes the way of the other.
        Some(way) => way,
        None => longest_silent(set, prints, now),
    };
    let way = way & (CLIENT_WAYS - 1);
    let place = u64::from(number * CLIENT_WAYS + way + 1);
    if found.is_some() && set.holds(way, key) {
        return ClientPlace(place);
    }
    let shift = 16 * way;
    let new = prints & !(0xffff << shift) | print << shift;
    // Nobody finds the new client before it is written: what is there has another address.
    if new != prints && !set.exchange_prints(prints, new) {
        return ClientPlace::NONE;
    }
    // A free way has none.
    let forgotten = u64::from(set.connections(way) > 0) << 32;
    let client = LimitedClient {
        address: key.address,
        service: key.service,
        seen: now,
        connections: 0,
        reserved: 0,
        opening: Pace::rested(now),
        sending: Pace::rested(now),
    };
    set.write(way, &client);
    ClientPlace(place | forgotten)
}

/// The way whose client was silent for longest; a free one before all. Without a branch.
#[inline(always)]
fn longest_silent<S: ClientWays>(set: S, prints: u64, now: u32) -> u32 {
    // Another CPU may have seen a client a moment after this one read the clock.
    let now = now.wrapping_add(1 << 16);
    let mut best = 0_u64;
    let mut way = 0;
    while way < CLIENT_WAYS {
        let print = prints >> (16 * way) & 0xffff;
        let free = print.wrapping_sub(1) >> 63;
        let age = u64::from(now.wrapping_sub(set.seen(way)));
        let candidate = (free << 32 | age) << 2 | u64::from(way);
        let larger = best.wrapping_sub(candidate) >> 63;
        best ^= (best ^ candidate) & larger.wrapping_neg();
        way += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
    let way = best as u32 & (CLIENT_WAYS - 1);
    way
}

/// Returns whether a connection in this state counts as open: until one side closed it, and of UDP as long as it is
/// known.
#[inline(always)]
pub const fn is_open(protocol: Protocol, state: u8) -> bool {
    match protocol {
        Protocol::Udp => true,
        _ => protocol.active(state),
    }
}

/// Adds to the open connections of the client that an address is of.
#[inline(always)]
pub fn account<C: Clients>(clients: C, service: u32, address: &Address, change: u32) {
    let Some(mask) = clients.client_mask(service) else {
        return;
    };
    let key = ClientKey::new(mask, service, address);
    if let Some(ClientSlot { set, way }) = find(clients, &key) {
        set.count(way, change);
    }
}

/// Judges a client's packet by these limits of a filter, and spends what it costs. Over one of them, its number of
/// [`Refused`] goes to `refused`.
#[inline(always)]
pub fn spend<S: ClientWays>(
    slot: ClientSlot<S>,
    filter: &Filter,
    limits: u32,
    now: u32,
    refused: &mut u32,
) {
    let ClientSlot { set, way } = slot;
    set.see(way, now);
    if limits & Filter::SENDING != 0 && !pay(slot, Paced::Sending, &filter.sending, now) {
        *refused = Refused::Sending as u32;
        return;
    }
    #[expect(
        clippy::cast_possible_wrap,
        reason = "the daemon writes no larger ones"
    )]
    let most = filter.connections as i32;
    if limits & Filter::OPEN != 0 && set.connections(way) >= most {
        *refused = Refused::Open as u32;
        return;
    }
    if limits & Filter::OPENING != 0 && !pay(slot, Paced::Opening, &filter.opening, now) {
        *refused = Refused::Opening as u32;
    }
}

/// Spends one. Where another CPU spends at the same moment, one of both is free.
#[inline(always)]
fn pay<S: ClientWays>(slot: ClientSlot<S>, what: Paced, pace: &Pace, now: u32) -> bool {
    let ClientSlot { set, way } = slot;
    let paid = set.paid(way, what);
    let Some(after) = pace.spend(paid, now) else {
        return false;
    };
    set.exchange_paid(way, what, paid, after);
    true
}

#[cfg(test)]
mod tests {
    use super::{PAIRS, alike};

    #[test]
    fn a_way_is_found_by_its_print() {
        let prints = 0x0001_7fff_0003_0005_u64;
        for (way, print) in [(0, 5), (1, 3), (2, 0x7fff), (3, 1)] {
            assert_eq!(alike(prints, print), Some(way));
        }
        assert_eq!(alike(prints, 7), None);
        assert_eq!(alike(9 * PAIRS, 9), Some(0));
    }
}
