//! The filter of addresses: most packets that are none of the director's end here.

use crate::abi::{Address, addr_filter_bit};
use crate::tables::Tables;

/// Returns whether the director may have to do with an address: false positives are possible.
#[inline(always)]
pub fn matches_filter<T: Tables>(tables: T, address: &Address) -> bool {
    filter_bits(tables, address) & 1 != 0
}

/// The same, in the lowest bit of a number.
#[inline(always)]
pub(super) fn filter_bits<T: Tables>(tables: T, address: &Address) -> u64 {
    let (word, bit) = addr_filter_bit(address);
    tables.addr_filter(word) >> bit
}
