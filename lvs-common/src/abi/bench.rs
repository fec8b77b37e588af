//! The map of the bench's harness.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a frame of the bench.
pub const BENCH_FRAME: usize = 80;

/// The frames that the bench's harness sends, and what came of them, see `lvs-ebpf/src/bench.rs`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bench {
    /// The frame; address and port of the flow are written over it.
    pub template: [u8; BENCH_FRAME],
    /// State of the random number generator.
    pub state: u64,
    /// Frames that ended otherwise than expected.
    pub wrong: u64,
    /// Frames that reached the sink.
    pub arrived: u64,
    /// Number of flows.
    pub flows: u32,
    /// Not 0: flows one after the other instead of at random.
    pub sequential: u32,
    /// The last flow sent in order.
    pub next: u32,
    /// Offset of the last four bytes of the flow's address.
    pub address_at: u32,
    /// XDP action expected.
    pub expected: u32,
    /// Zero; written in place to wait for earlier stores.
    pub reserved: u32,
}
