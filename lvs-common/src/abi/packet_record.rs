//! Records of packets, as the program makes them while somebody traces.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::address::Address;
use super::mark::AddressWords;

/// Bytes of the ring buffer of the records while somebody traces, a power of two.
pub const PACKET_RECORDS_BYTES: u32 = 8 << 20;
/// Terms of a [`TraceFilter`] at most.
pub const TRACE_TERMS: usize = 8;
/// Bytes of each image of a frame in a record at most, a power of two.
pub const MAX_IMAGE: usize = 2048;

/// The packets that are recorded: those that any of the terms may be true of.
///
/// It errs to the open side: what it cannot judge at a glance (fragments, options, ICMP) it lets through. User space
/// looks closer.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TraceFilter {
    /// Number of terms that count; 0: every packet is recorded.
    pub count: u32,
    /// Bytes of each image of a frame, below [`MAX_IMAGE`]; 0: no images.
    pub image: u32,
    /// The terms.
    pub terms: [TraceTerm; TRACE_TERMS],
}

/// A term of a [`TraceFilter`]: everything in it has to be true.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TraceTerm {
    /// The network that source or destination are in.
    pub address: AddressWords,
    /// The bits of it that count; none: any address.
    pub mask: AddressWords,
    /// First and last port, host order, that source or destination port lie between.
    pub ports: [u16; 2],
    /// IP protocol number; 0: any.
    pub protocol: u8,
    /// 4 or 6; 0: any.
    pub family: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}

/// A packet that was handled: the images of its frame, as it came and as it left, follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PacketRecord {
    /// Nanoseconds since the machine was started, sleep left out (`CLOCK_MONOTONIC`).
    pub time: u64,
    /// The verdict as [`crate::verdict::Verdict::to_bits`] has it.
    pub verdict: u64,
    /// The client's address, of a connection that is known or was to begin.
    pub client: Address,
    /// The virtual address.
    pub virtual_address: Address,
    /// Index of the interface that it came by.
    pub interface: u32,
    /// Bytes of the frame as it came.
    pub length: u32,
    /// Bytes of the frame as it left; 0: it did not.
    pub left_length: u32,
    /// Service index; [`super::Marked::NO_SERVICE`]: none.
    pub service: u32,
    /// Server index; [`crate::scheduler::NO_SERVER`]: none.
    pub server: u32,
    /// Client's and virtual port, network order.
    pub ports: [u8; 4],
    /// Bytes of the image as it came.
    pub came: u16,
    /// Bytes of the image as it left.
    pub left: u16,
    /// IP protocol number of the connection; 0: the packet is of none, and could begin none.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// State of the connection before; [`PacketRecord::NO_STATE`]: it was not known.
    pub before: u8,
    /// State of the connection afterwards; [`PacketRecord::NO_STATE`]: there is none.
    pub state: u8,
    /// Forwarding method, as [`super::Method`] has it, where there is a server.
    pub method: u8,
    /// Bits of [`PacketRecord`]: `BUFFER` and the like.
    pub flags: u8,
    /// Always zero.
    pub reserved: [u8; 6],
}

impl PacketRecord {
    /// No state.
    pub const NO_STATE: u8 = 0xff;
    /// Bit of `flags`: the TC program handled it.
    pub const BUFFER: u8 = 1;
    /// Bit of `flags`: the image as it came has no Ethernet header.
    pub const NO_ETHERNET: u8 = 2;
}

/// A record in the making, with room for both images.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TraceScratch {
    /// Records that did not fit into the ring buffer.
    pub lost: u64,
    /// 1 if the packet at hand is recorded.
    pub matched: u64,
    /// The record.
    pub record: PacketRecord,
    /// Both images, one behind the other.
    pub images: [u8; 2 * MAX_IMAGE],
}

const _: () = {
    assert!(size_of::<TraceTerm>() == 40);
    assert!(size_of::<TraceFilter>() == 8 + 40 * TRACE_TERMS);
    assert!(size_of::<PacketRecord>() == 88);
};
