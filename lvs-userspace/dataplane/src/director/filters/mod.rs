//! The filters of virtual services, in the maps.
//!
//! A filter is immutable: a changed one is written beside the one in force, and the store that switches the service
//! to its new plan switches the filter with it. Services with the same filter share it.

mod kept;
mod trie;

use std::collections::BTreeMap;
use std::sync::Arc;

use lvs_api::filter::{Filter, FilterStatus, LARGEST_LIMIT, Source};
use lvs_api::model::Family;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_common::abi::{self, FilterNode, Pace, Refused};
use zerocopy::{FromBytes as _, IntoBytes as _};

use self::trie::{Rule, Trie};
use super::allocator::{Allocator, MapKind};
use crate::kernel::Maps;

/// The filters in the maps, and how many plans refer to each.
pub(super) struct Filters {
    maps: Arc<Maps>,
    by_number: BTreeMap<u32, Held>,
}

struct Held {
    filter: Filter,
    family: Family,
    plans: u32,
}

impl Filters {
    pub(super) const fn new(maps: Arc<Maps>) -> Self {
        Self {
            maps,
            by_number: BTreeMap::new(),
        }
    }

    /// The number of a filter for one more plan, written if there is none like it; 0 of one that refuses nothing.
    pub(super) fn acquire(
        &mut self,
        filter: Option<&Filter>,
        family: Family,
        allocator: &mut Allocator,
    ) -> Result<u32, Refusal> {
        let Some(filter) = filter.filter(|filter| !filter.is_empty()) else {
            return Ok(0);
        };
        let mut all = self.by_number.iter_mut();
        let same = all.find(|(_, held)| held.family == family && held.filter == *filter);
        if let Some((number, held)) = same {
            held.plans += 1;
            return Ok(*number);
        }
        let number = self.write(filter, family, allocator)?;
        let held = Held {
            filter: filter.clone(),
            family,
            plans: 1,
        };
        self.by_number.insert(number, held);
        Ok(number)
    }

    /// One plan less refers to a filter. Its memory is used again after a grace period.
    pub(super) fn release(&mut self, number: u32, allocator: &mut Allocator) {
        let Some(held) = self.by_number.get_mut(&number) else {
            return;
        };
        held.plans -= 1;
        if held.plans > 0 {
            return;
        }
        self.by_number.remove(&number);
        if let Some(filter) = self.maps.filters.read(number) {
            allocator.retire(MapKind::FilterNodes, filter.root, filter.elements);
        }
        allocator.retire(MapKind::Filters, number, 1);
    }

    /// The filter of a plan that was found in the maps; `None` if it makes no sense.
    pub(super) fn adopt(
        &mut self,
        number: u32,
        family: Family,
        allocator: &mut Allocator,
    ) -> Option<Filter> {
        if number == 0 {
            return Some(Filter::default());
        }
        if let Some(held) = self.by_number.get_mut(&number) {
            held.plans += 1;
            return (held.family == family).then(|| held.filter.clone());
        }
        let found = self.maps.filters.read(number)?;
        let end = found.root.checked_add(found.elements)?;
        let kept = end.checked_sub(found.kept)?..end;
        let elements: Option<Vec<FilterNode>> = kept
            .map(|place| self.maps.filter_nodes.read(place))
            .collect();
        let elements = elements?;
        let bytes = elements.as_bytes().get(..found.kept_bytes as usize)?;
        let filter = kept::parse(bytes)?;
        let reserved = allocator.reserve(MapKind::Filters, number, 1)
            && allocator.reserve(MapKind::FilterNodes, found.root, found.elements);
        if !reserved {
            return None;
        }
        let held = Held {
            filter: filter.clone(),
            family,
            plans: 1,
        };
        self.by_number.insert(number, held);
        Some(filter)
    }

    /// The size of a service's filter, and what it refused since the service was added.
    pub(super) fn status(&self, service: u32, filter: &Filter, family: Family) -> FilterStatus {
        let count = |sources: &[Source]| {
            let prefixes = sources.iter().flat_map(Source::prefixes);
            prefixes.filter(|prefix| prefix.family() == family).count()
        };
        let counted = self.maps.filter_counters.read(service);
        let refused = |what: Refused| counted.counts[what as usize];
        FilterStatus {
            allow: filter.allow.as_deref().map(count),
            deny: count(&filter.deny),
            denied: refused(Refused::Denied),
            over_new_per_second: refused(Refused::Opening),
            over_open: refused(Refused::Open),
            over_packets_per_second: refused(Refused::Sending),
            forgotten: refused(Refused::Forgotten),
        }
    }

    /// Writes a filter that no plan refers to yet; returns its number.
    fn write(
        &self,
        filter: &Filter,
        family: Family,
        allocator: &mut Allocator,
    ) -> Result<u32, Refusal> {
        let trie = lists(filter, family);
        let nodes = trie.as_ref().map_or(&[][..], |trie| &trie.nodes);
        let bytes = kept::render(filter);
        let kept = elements(&bytes);
        let count = length(nodes.len() + kept.len());
        let [number, root] =
            allocator.allocate_all([(MapKind::Filters, 1), (MapKind::FilterNodes, count)])?;
        let nodes = nodes.iter().map(|node| FilterNode {
            next: node.next.wrapping_add(root),
            ..*node
        });
        for (place, element) in (root..).zip(nodes.chain(kept.iter().copied())) {
            self.maps.filter_nodes.write(place, element);
        }
        let limits = limits(filter, family);
        let lists = if trie.is_some() {
            abi::Filter::LISTS
        } else {
            0
        };
        let written = abi::Filter {
            root,
            elements: count,
            kept: length(kept.len()),
            kept_bytes: length(bytes.len()),
            root_bits: trie.as_ref().map_or(2, |trie| trie.root_bits),
            flags: limits.flags | lists,
            ..limits
        };
        self.maps.filters.write(number, written);
        Ok(number)
    }
}

/// Both lists as a trie, if there are any.
fn lists(filter: &Filter, family: Family) -> Option<Trie> {
    if filter.allow.is_none() && filter.deny.is_empty() {
        return None;
    }
    let of = |sources: &[Source], admitted| -> Vec<Rule> {
        let prefixes = sources.iter().flat_map(Source::prefixes);
        let own = prefixes.filter(|prefix| prefix.family() == family);
        own.map(|prefix| Rule::new(*prefix, admitted)).collect()
    };
    let mut rules = of(&filter.deny, false);
    rules.extend(of(filter.allow.as_deref().unwrap_or_default(), true));
    Some(Trie::new(rules, filter.allow.is_none()))
}

/// The limits of a filter as the program sees them.
fn limits(filter: &Filter, family: Family) -> abi::Filter {
    let limits = &filter.limits;
    let set = |flag, limit| if limit == 0 { 0 } else { flag };
    abi::Filter {
        flags: set(abi::Filter::OPENING, limits.new_per_second)
            | set(abi::Filter::OPEN, limits.open)
            | set(abi::Filter::SENDING, limits.packets_per_second),
        connections: limits.open,
        mask: mask(limits.prefix_of(family)),
        opening: Pace::per_second(limits.new_per_second),
        sending: Pace::per_second(limits.packets_per_second),
        ..abi::Filter::default()
    }
}

/// The first bits of an address, as two words of its bytes.
fn mask(length: u8) -> [u64; 2] {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    zerocopy::transmute!(mask.to_be_bytes())
}

/// Bytes as elements of the map.
fn elements(bytes: &[u8]) -> Vec<FilterNode> {
    let element = |bytes: &[u8]| {
        let mut filled = [0; size_of::<FilterNode>()];
        filled[..bytes.len()].copy_from_slice(bytes);
        FilterNode::read_from_bytes(&filled).unwrap_or_default()
    };
    bytes.chunks(size_of::<FilterNode>()).map(element).collect()
}

/// Lengths fit: the map has fewer elements.
fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Refuses a filter that the tables cannot hold for a service of this family.
pub(super) fn check(filter: &Filter, family: Family) -> Result<(), Refusal> {
    let limits = &filter.limits;
    let longest = match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    };
    if limits
        .prefix
        .is_some_and(|prefix| !(1..=longest).contains(&prefix))
    {
        let message = format!("the prefix that is one client has 1 to {longest} bits");
        return Err(Refusal::new(RefusalKind::OutOfRange, message));
    }
    let counts = [
        limits.new_per_second,
        limits.open,
        limits.packets_per_second,
    ];
    if counts.iter().any(|count| *count > LARGEST_LIMIT) {
        let message = format!("a limit is {LARGEST_LIMIT} at most");
        return Err(Refusal::new(RefusalKind::OutOfRange, message));
    }
    Ok(())
}
