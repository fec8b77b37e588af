//! Keys of the connection table.

use crate::family::Family;
use crate::secrets::Secrets;
use crate::wire::Ports;

/// The kind of an entry; part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A connection, looked up by packets from the client.
    Request = 0,
    /// The reply direction of a NAT connection, found by packets from the real server.
    Reply = 1,
    /// A persistence template: source is the client's network, both ports as IPVS sets them.
    Template = 2,
}

impl Kind {
    /// Total: what no writer writes is a request.
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Reply,
            2 => Self::Template,
            _ => Self::Request,
        }
    }
}

/// Key of an entry: addresses and ports as they stand in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Key<F: Family> {
    /// Source address of the packets.
    pub source: F::Address,
    /// Destination address of the packets.
    pub destination: F::Address,
    /// Ports of the packets.
    pub ports: Ports,
    /// IP protocol number.
    pub protocol: u8,
    /// [`Kind`].
    pub kind: u8,
}

impl<F: Family> Key<F> {
    /// All but the addresses, as one number.
    #[inline(always)]
    const fn rest(&self) -> u64 {
        let ports = u32::from_ne_bytes(self.ports.to_bytes()) as u64;
        ports | (u16::from_ne_bytes([self.protocol, self.kind]) as u64) << 32
    }

    /// Returns whether two keys are the same, compared in few steps.
    #[inline(always)]
    pub fn same(&self, other: &Self) -> bool {
        F::same(
            [&self.source, &self.destination],
            [&other.source, &other.destination],
        ) && self.rest() == other.rest()
    }

    /// The connection table's hash, see [`crate::connection`].
    #[inline(always)]
    pub fn hash<S: Secrets>(&self, secrets: S) -> u64 {
        let ports = u32::from_ne_bytes(self.ports.to_bytes());
        let kind = u32::from(self.protocol) << 8 | u32::from(self.kind);
        F::hash(&self.source, &self.destination, [ports, kind], secrets)
    }
}
