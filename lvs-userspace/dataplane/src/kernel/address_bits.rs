//! The filters of addresses: a bit for each, which others may share.

use std::sync::atomic::Ordering;

use lvs_common::abi::{ADDR_FILTER_WORDS, Address, addr_filter_bit};

use super::mapping::Mapping;

/// A filter of addresses, as the program asks it.
pub struct AddressBits(pub(super) Mapping<u64>);

impl AddressBits {
    /// Lets an address through.
    pub fn add(&self, address: &Address) {
        let (word, bit) = addr_filter_bit(address);
        let word = u32::try_from(word).ok();
        if let Some(word) = word.and_then(|word| self.0.double_word(word, 0)) {
            word.fetch_or(1 << bit, Ordering::Release);
        }
    }

    /// Lets every address through.
    pub fn fill(&self) {
        self.store(&[u64::MAX; ADDR_FILTER_WORDS]);
    }

    /// Lets exactly these addresses through, and others that share a bit with one of them. None of them is refused
    /// meanwhile that was not before.
    pub fn replace<'a>(&self, addresses: impl IntoIterator<Item = &'a Address>) {
        let mut words = [0; ADDR_FILTER_WORDS];
        for address in addresses {
            let (word, bit) = addr_filter_bit(address);
            if let Some(word) = words.get_mut(word) {
                *word |= 1 << bit;
            }
        }
        self.store(&words);
    }

    fn store(&self, words: &[u64; ADDR_FILTER_WORDS]) {
        for (index, &word) in (0..).zip(words) {
            if let Some(place) = self.0.double_word(index, 0) {
                place.store(word, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::address::widen;

    fn passes(bits: &AddressBits, address: &Address) -> bool {
        let (word, bit) = addr_filter_bit(address);
        let word = bits.0.read(u32::try_from(word).unwrap()).unwrap();
        word >> bit & 1 != 0
    }

    #[test]
    fn a_filter_lets_through_what_was_added_until_it_is_replaced() {
        let all: Vec<Address> = (0..100_u8)
            .map(|host| widen(IpAddr::from([192, 0, 2, host])))
            .collect();
        let (first, rest) = all.split_first().unwrap();
        let bits = AddressBits(Mapping::zeroed(2_048));
        assert!(!all.iter().any(|address| passes(&bits, address)));
        bits.add(first);
        bits.add(&rest[0]);
        assert!(passes(&bits, first) && passes(&bits, &rest[0]));
        bits.replace(rest);
        assert!(!passes(&bits, first));
        assert!(rest.iter().all(|address| passes(&bits, address)));
        bits.fill();
        assert!(passes(&bits, first));
    }
}
