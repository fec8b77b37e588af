//! The sources that a new connection may have towards a real server behind NAT, in the order of their trial.

use crate::connection::table::{Inserted, New};
use crate::family::Family;

/// Sources that are tried for a connection. Of a pool with nine of ten ports in use all are taken once in 850.
pub(super) const CANDIDATES: u32 = 64;

/// The sources that a connection may have, and which one it gets.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<F: Family> {
    /// The first address.
    pub(super) first: F::Address,
    /// The first port of each address.
    pub(super) first_port: u32,
    /// Number of ports of each address, at least one.
    pub(super) ports: u32,
    /// Number of sources: addresses times ports.
    pub(super) count: u32,
    /// The next one.
    pub(super) place: u32,
    /// From one to the next.
    pub(super) stride: u32,
    /// The client's own address and port come before all others.
    pub(super) own_first: bool,
    /// The entry of the replies, once it is inserted.
    pub(super) inserted: Inserted,
    /// The source in the key is free, but its entry's sets are short of room.
    pub(super) crowded: bool,
}

impl<F: Family> Candidates<F> {
    /// `addresses` times the ports from the first to the last one, in an order that the hash decides.
    #[inline(always)]
    pub const fn new(
        first: F::Address,
        addresses: u32,
        [first_port, last_port]: [u32; 2],
        hash: u64,
        own_first: bool,
    ) -> Self {
        let ports = last_port.wrapping_sub(first_port).wrapping_add(1) & 0x1_ffff;
        let count = ports.wrapping_mul(addresses);
        let stride = if count <= CANDIDATES {
            1
        } else {
            ((hash >> 32) as u32 | 1) % count
        };
        Self {
            first,
            first_port,
            ports,
            count,
            place: ((hash & 0xffff_ffff).wrapping_mul(count as u64) >> 32) as u32,
            stride: stride | (stride == 0) as u32,
            own_first,
            inserted: Inserted::NONE,
            crowded: false,
        }
    }

    /// The next source, as the destination of replies.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a port")]
    pub(super) fn next(&mut self, new: &mut New<F>) {
        if self.ports == 0 {
            return;
        }
        new.key.destination = F::above(&self.first, self.place / self.ports);
        new.key.ports.destination =
            ((self.first_port.wrapping_add(self.place % self.ports)) as u16).into();
        self.place = self.place.wrapping_add(self.stride);
        if self.place >= self.count {
            self.place = self.place.wrapping_sub(self.count);
        }
    }
}
