//! The filter of addresses that the program asks first: packets from and to others are not the director's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lvs_common::abi::{ADDR_FILTER_WORDS, Address, addr_filter_bit};

use crate::kernel::Maps;

/// Bits of the addresses that the program looks at.
pub(super) struct AddressFilter {
    maps: Arc<Maps>,
    /// True if it may hold addresses that are no longer needed.
    stale: bool,
}

impl AddressFilter {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self { maps, stale: true }
    }

    /// From now on the program looks at packets from and to this address.
    pub(super) fn add(&self, address: &Address) {
        let (word, bit) = addr_filter_bit(address);
        let word = u32::try_from(word).ok();
        if let Some(word) = word.and_then(|word| self.maps.addr_filter.double_word(word, 0)) {
            word.fetch_or(1 << bit, Ordering::Release);
        }
    }

    /// Notes that an address may be needed no longer.
    pub(super) const fn mark_stale(&mut self) {
        self.stale = true;
    }

    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Writes the filter anew, of exactly these addresses.
    pub(super) fn rebuild(&mut self, addresses: &[Address]) {
        let mut words = vec![0u64; ADDR_FILTER_WORDS];
        for address in addresses {
            let (word, bit) = addr_filter_bit(address);
            if let Some(word) = words.get_mut(word) {
                *word |= 1 << bit;
            }
        }
        for (index, word) in (0..).zip(words) {
            if let Some(place) = self.maps.addr_filter.double_word(index, 0) {
                place.store(word, Ordering::Relaxed);
            }
        }
        self.stale = false;
    }
}
