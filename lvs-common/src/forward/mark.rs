//! Firewall marks: the rules of the director's own that give them to packets, as netfilter's table `mangle`
//! would before IPVS sees them.

use zerocopy::byteorder::network_endian::U16;

use crate::abi::{AddressWords, Config, MarkRule, Marked, ServiceKey, address_words};
use crate::aligned::Aligned;
use crate::connection::Key;
use crate::network::Network;
use crate::tables::Tables;
use crate::walk::Step;

/// Index of the service of the mark that a packet with this key carries, if it came by this interface;
/// [`Marked::NO_SERVICE`]: it carries none, or one that has no service.
#[inline(never)]
pub(super) fn marked_service<F: Network, T: Tables>(
    tables: T,
    config: &Config,
    key: &Key<F>,
    interface: u32,
) -> u32 {
    let mut marked = Marked::NOTHING;
    if config.keyed_marks != 0 {
        marked = by_key(tables, key);
    }
    let (first, count) = (config.mark_rules >> 16, config.mark_rules & 0xffff);
    if count != 0 {
        let mut comparison = Comparison {
            tables,
            marked,
            last: u64::from(first) + u64::from(count) - 1,
            interface: u64::from(interface),
            source: address_words(F::widen(key.source)),
            destination: address_words(F::widen(key.destination)),
            source_port: u64::from(key.ports.source.get()),
            destination_port: u64::from(key.ports.destination.get()),
            protocol: u64::from(key.protocol),
            family: u64::from(F::NUMBER),
        };
        tables.walk(count, &mut comparison);
        marked = comparison.marked;
    }
    marked.service()
}

/// The later one of the rule for exactly this port and that for every port of the address.
#[inline(always)]
fn by_key<F: Network, T: Tables>(tables: T, key: &Key<F>) -> Marked {
    let mut wanted = Aligned(ServiceKey {
        address: F::widen(key.destination),
        port: key.ports.destination,
        protocol: key.protocol,
        family: F::NUMBER,
    });
    let nothing = Marked::NOTHING;
    let exact = tables.keyed_mark(&wanted.0).unwrap_or(nothing);
    wanted.0.port = U16::ZERO;
    let any = tables.keyed_mark(&wanted.0).unwrap_or(nothing);
    let later = exact.max(any);
    if later == exact {
        wanted.0.port = key.ports.destination;
    }
    // The hash element may have been reused while it was read: it says the same again then only by chance.
    if tables.keyed_mark(&wanted.0).unwrap_or(nothing) == later {
        later
    } else {
        nothing
    }
}

/// Compares a packet with the rules, from the last to the first.
#[repr(C, align(8))]
struct Comparison<T> {
    tables: T,
    /// The latest rule that matches so far.
    marked: Marked,
    /// Place of the last rule.
    last: u64,
    interface: u64,
    source: AddressWords,
    destination: AddressWords,
    source_port: u64,
    destination_port: u64,
    protocol: u64,
    family: u64,
}

impl<T: Tables> Step for Comparison<T> {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "places are below 65,536")]
    fn step(&mut self, index: u32) -> bool {
        let place = (self.last as u32).wrapping_sub(index);
        let Some(rule) = self.tables.mark_rule(place) else {
            return false;
        };
        if !self.matches(rule) {
            return true;
        }
        self.marked = self.marked.max(rule.marked);
        false
    }
}

impl<T> Comparison<T> {
    /// Returns whether a rule is about the packet.
    #[inline(always)]
    fn matches(&self, rule: &MarkRule) -> bool {
        let other = differs(self.source, rule.source, rule.source_mask)
            | differs(self.destination, rule.destination, rule.destination_mask)
            | u64::from(rule.family) ^ self.family;
        other == 0
            && (rule.protocol == 0 || u64::from(rule.protocol) == self.protocol)
            && (rule.interface == 0 || u64::from(rule.interface) == self.interface)
            && within(self.destination_port, rule.destination_ports)
            && within(self.source_port, rule.source_ports)
    }
}

/// 0: the address is in the network.
#[inline(always)]
const fn differs(address: AddressWords, network: AddressWords, mask: AddressWords) -> u64 {
    let ([high, low], [network_high, network_low]) = (address, network);
    let [mask_high, mask_low] = mask;
    (high ^ network_high) & mask_high | (low ^ network_low) & mask_low
}

#[inline(always)]
const fn within(port: u64, [first, last]: [u16; 2]) -> bool {
    first as u64 <= port && port <= last as u64
}
