//! The memory of the table, as whoever works on it has to offer it.

use super::new::New;
use crate::abi::Crowd;
use crate::connection::{Client, Key, Loads, Record, Tag};
use crate::family::Family;
use crate::walk::Walk;

/// One set of the table.
pub trait Ways<F: Family>: Copy {
    /// The way's tag, read anew each time.
    fn tag(self, way: u32) -> Tag;
    /// Has every way fetched from memory for whoever needs them soon.
    fn fetch(self) {}
    /// Replaces a tag if it still is the expected one. A full barrier.
    fn exchange(self, way: u32, expected: Tag, new: Tag) -> bool;
    /// Stores a tag over one that the caller owns (busy). A full barrier.
    fn publish(self, way: u32, tag: Tag);
    /// Returns whether the way holds this key.
    fn holds(self, way: u32, key: &Key<F>) -> bool;
    /// Clock tick of the last packet.
    fn seen(self, way: u32) -> u32;
    /// Ticks without a packet after which the way's connection is expired.
    fn timeout(self, way: u32) -> u32;
    /// Packets from the client.
    fn packets(self, way: u32) -> u32;
    /// Number (plus one) of the entry for the other direction; what is no number of an entry: none.
    fn partner(self, way: u32) -> u32;
    /// The way's key.
    fn key(self, way: u32) -> Key<F>;
    /// The way's record.
    fn record(self, way: u32) -> Record;
    /// The way to the client of the way's connection.
    fn client(self, way: u32) -> Client;
    /// Writes everything but tag and hint into a way that the caller owns.
    fn write(self, way: u32, new: &New<F>);
    /// Returns whether a key of this set may live in its second set.
    fn hint(self) -> bool;
    /// Notes that a key of this set may live in its second set. A full barrier.
    fn set_hint(self);
    /// Links the way to the entry for the other direction.
    fn set_partner(self, way: u32, partner: u32);
    /// Notes a packet from the client. Returns [`Ways::packets`] with it.
    fn touch(self, way: u32, now: u32, timeout: u32) -> u32;
    /// Notes a packet from the real server.
    fn touch_reply(self, way: u32, now: u32, timeout: u32);
    /// Notes the way to the client.
    fn set_client(self, way: u32, client: &Client);
}

/// The table as a whole, with the loads that its entries are counted in.
pub trait Store<F: Family>: Walk + Loads {
    /// One set.
    type Set: Ways<F>;
    /// Number of sets.
    fn sets(self) -> u32;
    /// A set by its number.
    fn set(self, number: u32) -> Option<Self::Set>;
    /// The service that holds more than its share of the table while others need room.
    fn crowd(self) -> Crowd;
}
