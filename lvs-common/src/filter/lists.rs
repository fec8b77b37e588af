//! The lists of a filter, as one function of an address.
//!
//! The daemon has worked out from both lists who is admitted; here an address is only followed through the trie,
//! which takes a load for each node: one to three of IPv4 in a filter of 50,000 prefixes.

use crate::abi::{Address, Filter, FilterNode, NODE_BITS};
use crate::network::Network;

/// Returns whether the lists of a filter admit an address. `node` gives a node by its number.
///
/// Total: a trie that no daemon writes admits nobody.
#[inline(always)]
pub fn admits<'a, F: Network>(
    filter: &Filter,
    address: F::Address,
    node: impl Fn(u32) -> Option<&'a FilterNode>,
) -> bool {
    let [mut high, mut low] = words(&F::widen(address));
    let root = filter.root_bits & 31;
    let chosen = high >> (63 - root) >> 1;
    #[expect(clippy::cast_possible_truncation, reason = "fewer than 2 to the 31st")]
    let mut number = filter.root.wrapping_add(chosen as u32);
    (high, low) = shifted(high, low, root);
    // Two bits at least choose the first node.
    let nodes = (u32::from(F::NUMBER == 4) * 32 + u32::from(F::NUMBER == 6) * 128 - 2) / NODE_BITS;
    let mut depth = 0;
    while depth < nodes {
        let Some(node) = node(number) else {
            return false;
        };
        let place = high >> (64 - NODE_BITS);
        if (node.inner >> place) & 1 == 0 {
            return (node.admitted >> place) & 1 != 0;
        }
        let before = node.inner & (1_u64 << place).wrapping_sub(1);
        number = node.next.wrapping_add(before.count_ones());
        (high, low) = shifted(high, low, NODE_BITS);
        depth += 1;
    }
    false
}

/// An address as two numbers.
#[inline(always)]
const fn words(address: &Address) -> [u64; 2] {
    let words: [u64; 2] = zerocopy::transmute!(*address);
    let [high, low] = words;
    [u64::from_be(high), u64::from_be(low)]
}

/// The address without its first bits, 1 to 63 of them.
#[inline(always)]
const fn shifted(high: u64, low: u64, bits: u32) -> (u64, u64) {
    (high << bits | low >> (64 - bits), low << bits)
}
