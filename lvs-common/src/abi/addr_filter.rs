//! Filters of addresses: those that the director has to look at, and its own.

use super::address::Address;

/// Words of a filter of addresses.
pub const ADDR_FILTER_WORDS: usize = 2_048;

/// The bit of a filter that stands for an address: word and bit number.
///
/// The program asks the address filter before anything else about a packet's destination (a virtual address?) and
/// source (a real server that answers through NAT?), so that a packet that is none of the
/// director's costs two loads. Before it looks for the source of a new connection among the director's own
/// addresses, in a hash whose buckets are cold for each new client, it asks the filter of these. False positives
/// only cost time.
pub const fn addr_filter_bit(address: &Address) -> (usize, u32) {
    let [low, high]: [u64; 2] = zerocopy::transmute!(*address);
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 53) as usize, (mixed >> 47) as u32 & 63)
}

const _: () = assert!(ADDR_FILTER_WORDS == 1 << 11);
