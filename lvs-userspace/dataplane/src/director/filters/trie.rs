//! Both lists of a filter as one trie, as [`lvs_common::filter::lists`] follows it.

use std::collections::VecDeque;
use std::net::IpAddr;

use lvs_api::filter::Prefix;
use lvs_common::abi::{FilterNode, NODE_BITS};

/// Places of a node.
const PLACES: usize = 1 << NODE_BITS;

/// A prefix, and whether addresses in it are admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    /// The first bits count.
    bits: u128,
    length: u32,
    /// Sorted last: a prefix of both lists denies.
    admitted: bool,
}

impl Rule {
    pub(super) fn new(prefix: Prefix, admitted: bool) -> Self {
        let bits = match prefix.address() {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self {
            bits,
            length: u32::from(prefix.length()),
            admitted,
        }
    }

    /// The bits from `depth` on, so many of them.
    fn part(&self, depth: u32, count: u32) -> usize {
        let part = self.bits << depth >> (128 - count);
        usize::try_from(part).unwrap_or(0)
    }
}

/// A trie whose nodes are numbered from 0; the first ones are chosen from by the first bits of an address.
#[derive(Debug)]
pub(super) struct Trie {
    pub(super) root_bits: u32,
    pub(super) nodes: Vec<FilterNode>,
}

/// Part of a trie.
enum Tree {
    /// All addresses alike.
    Leaf(bool),
    Node(Node),
}

struct Node {
    inner: u64,
    admitted: u64,
    /// Of the inner places, in their order.
    children: Vec<Node>,
}

impl Trie {
    /// Of the rules of one family; `otherwise` says whether an address in none of them is admitted.
    pub(super) fn new(mut rules: Vec<Rule>, otherwise: bool) -> Self {
        rules.sort_unstable();
        rules.dedup_by_key(|rule| (rule.bits, rule.length));
        // More bits take more memory, and save a load or two.
        let root_bits = match rules.len() {
            0..64 => 2,
            64..8_192 => 8,
            _ => 14,
        };
        let mut places = vec![otherwise; 1 << root_bits];
        let mut nodes = Vec::new();
        let mut waiting = VecDeque::new();
        let mut inner = split(&rules, 0, root_bits, &mut places)
            .into_iter()
            .peekable();
        for (place, &admitted) in places.iter().enumerate() {
            let tree = match inner.next_if(|(deep, _)| *deep == place) {
                Some((_, rules)) => tree(rules, root_bits, admitted),
                None => Tree::Leaf(admitted),
            };
            nodes.push(FilterNode {
                admitted: if matches!(tree, Tree::Leaf(true)) {
                    u64::MAX
                } else {
                    0
                },
                ..FilterNode::default()
            });
            if let Tree::Node(node) = tree {
                waiting.push_back((place, node));
            }
        }
        while let Some((number, node)) = waiting.pop_front() {
            nodes[number] = FilterNode {
                inner: node.inner,
                admitted: node.admitted,
                next: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
                reserved: 0,
            };
            for child in node.children {
                waiting.push_back((nodes.len(), child));
                nodes.push(FilterNode::default());
            }
        }
        Self { root_bits, nodes }
    }
}

/// Sets the places that rules cover which are no longer than these bits; returns the longer ones by place.
///
/// The rules are sorted, so that one comes before those within it.
fn split<'a>(
    rules: &'a [Rule],
    depth: u32,
    count: u32,
    places: &mut [bool],
) -> Vec<(usize, &'a [Rule])> {
    let mut longer = Vec::new();
    for group in rules.chunk_by(|one, other| one.part(depth, count) == other.part(depth, count)) {
        let short = group.partition_point(|rule| rule.length <= depth + count);
        let (here, deep) = group.split_at(short);
        for rule in here {
            let first = rule.part(depth, count);
            let covered = 1 << (depth + count - rule.length);
            places[first..first + covered].fill(rule.admitted);
        }
        if let Some(rule) = deep.first() {
            longer.push((rule.part(depth, count), deep));
        }
    }
    longer
}

/// The tree of the rules that are longer than `depth` bits, and agree in those.
fn tree(rules: &[Rule], depth: u32, otherwise: bool) -> Tree {
    let mut places = [otherwise; PLACES];
    let mut inner = 0;
    let mut children = Vec::new();
    for (place, rules) in split(rules, depth, NODE_BITS, &mut places) {
        match tree(rules, depth + NODE_BITS, places[place]) {
            Tree::Leaf(admitted) => places[place] = admitted,
            Tree::Node(node) => {
                inner |= 1 << place;
                children.push(node);
            }
        }
    }
    if inner == 0 && places.iter().all(|place| *place == places[0]) {
        return Tree::Leaf(places[0]);
    }
    let bits = (0..)
        .zip(places)
        .map(|(bit, place)| u64::from(place) << bit);
    Tree::Node(Node {
        inner,
        admitted: bits.sum(),
        children,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use lvs_common::abi::Filter;
    use lvs_common::family::{Family, V4, V6};
    use lvs_common::filter::lists::admits;
    use proptest::prelude::*;

    use super::*;

    fn admitted(trie: &Trie, address: IpAddr) -> bool {
        let filter = Filter {
            root_bits: trie.root_bits,
            ..Filter::default()
        };
        let node = |number: u32| trie.nodes.get(number as usize);
        match address {
            IpAddr::V4(v4) => admits::<V4>(&filter, v4.octets(), node),
            IpAddr::V6(v6) => admits::<V6>(&filter, V6::narrow(&v6.octets()), node),
        }
    }

    /// What the documents say, in so many words.
    fn judged(rules: &[(Prefix, bool)], otherwise: bool, address: IpAddr) -> bool {
        let holding = rules
            .iter()
            .filter(|(prefix, _)| Prefix::new(prefix.address(), prefix.length()).is_some())
            .filter(|(prefix, _)| cut(address, prefix.length()) == Some(*prefix));
        let longest = holding.clone().map(|(prefix, _)| prefix.length()).max();
        match longest {
            None => otherwise,
            Some(longest) => holding
                .filter(|(prefix, _)| prefix.length() == longest)
                .all(|(_, admitted)| *admitted),
        }
    }

    fn cut(address: IpAddr, length: u8) -> Option<Prefix> {
        let cut: IpAddr = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        };
        Prefix::new(cut, length)
    }

    /// Addresses close to each other and far apart.
    fn address(v6: bool) -> impl Strategy<Value = IpAddr> {
        (any::<u128>(), 0_u32..128).prop_map(move |(bits, zeroes)| {
            let bits = bits.checked_shr(zeroes).unwrap_or(0) ^ (0x2001_0db8 << 96);
            if v6 {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            } else {
                IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
            }
        })
    }

    fn rules(v6: bool, most: usize) -> impl Strategy<Value = Vec<(Prefix, bool)>> {
        let longest: u8 = if v6 { 128 } else { 32 };
        let rule = (address(v6), 0..=longest, any::<bool>());
        let rule = rule.prop_map(|(address, length, admitted)| {
            (cut(address, length).expect("it was cut"), admitted)
        });
        prop::collection::vec(rule, 0..most)
    }

    fn check(all: &[(Prefix, bool)], otherwise: bool, addresses: &[IpAddr]) {
        let sorted = all
            .iter()
            .map(|(prefix, admitted)| Rule::new(*prefix, *admitted));
        let trie = Trie::new(sorted.collect(), otherwise);
        let edges = all.iter().map(|(prefix, _)| prefix.address());
        for address in addresses.iter().copied().chain(edges) {
            assert_eq!(
                admitted(&trie, address),
                judged(all, otherwise, address),
                "{address} of {all:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_address_is_judged_by_the_longest_prefix_of_both_lists(
            (v6, otherwise) in (any::<bool>(), any::<bool>()),
            seed4 in rules(false, 200),
            seed6 in rules(true, 200),
            addresses4 in prop::collection::vec(address(false), 50),
            addresses6 in prop::collection::vec(address(true), 50),
        ) {
            if v6 {
                check(&seed6, otherwise, &addresses6);
            } else {
                check(&seed4, otherwise, &addresses4);
            }
        }
    }

    #[test]
    fn fifty_thousand_prefixes_are_judged_right_and_take_little_room() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        };
        let rules: Vec<_> = (0..50_000)
            .map(|_| {
                let address = IpAddr::V4(Ipv4Addr::from_bits(next()));
                let length = 8 + (next() >> 27).min(24) as u8;
                (cut(address, length).expect("it was cut"), next() >> 31 == 0)
            })
            .collect();
        let sorted = rules
            .iter()
            .map(|(prefix, admitted)| Rule::new(*prefix, *admitted));
        let trie = Trie::new(sorted.collect(), true);
        assert!(trie.nodes.len() < 130_000, "{}", trie.nodes.len());
        for _ in 0..300 {
            let address = IpAddr::V4(Ipv4Addr::from_bits(next()));
            assert_eq!(admitted(&trie, address), judged(&rules, true, address));
        }
    }

    #[test]
    fn no_rules_and_the_rule_for_all_judge_everybody_alike() {
        for (v6, all) in [(false, "0.0.0.0/0"), (true, "::/0")] {
            let host = if v6 { "2001:db8::1" } else { "192.0.2.1" }
                .parse()
                .unwrap();
            for admits in [false, true] {
                assert_eq!(admitted(&Trie::new(Vec::new(), admits), host), admits);
                let rule = Rule::new(all.parse().unwrap(), admits);
                assert_eq!(admitted(&Trie::new(vec![rule], !admits), host), admits);
            }
        }
    }
}
