//! The filter of the addresses that the director has to look at.

use super::address::Address;

/// Words of the address filter.
pub const ADDR_FILTER_WORDS: usize = 2_048;

/// The bit of the address filter that stands for an address: word and bit number.
///
/// The program asks it before anything else about a packet's destination (a virtual address?) and
/// source (a real server that answers through NAT?), so that a packet that is none of the
/// director's costs two loads. False positives only cost time.
pub const fn addr_filter_bit(address: &Address) -> (usize, u32) {
    let [low, high]: [u64; 2] = zerocopy::transmute!(*address);
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 53) as usize, (mixed >> 47) as u32 & 63)
}

const _: () = assert!(ADDR_FILTER_WORDS == 1 << 11);
