//! Records of packets for those who trace.
//!
//! A packet that is recorded goes through the stages: the fast path leaves nothing to record but its verdict.

use super::work::Work;
use crate::abi::{
    Address, Marked, PacketRecord, TRACE_TERMS, TraceFilter, TraceTerm, address_words,
};
use crate::connection::Kind;
use crate::connection::table::{self, Place, Store, Ways as _};
use crate::family::{V4, V6};
use crate::network::Network;
use crate::packet::Packet;
use crate::scheduler::NO_SERVER;
use crate::tables::Tables;
use crate::verdict::Verdict;
use crate::wire::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, Headers,
    protocol,
};

/// Returns whether a packet may be one that is asked for. Not 0: it may.
#[inline(never)]
pub fn may_match<P: Packet>(packet: &P, filter: &TraceFilter) -> u64 {
    if filter.count == 0 {
        return 1;
    }
    let ethertype = match packet.without_link() {
        // Rare, and of few packets: user space looks at all.
        Some(_) => return 1,
        None => packet
            .header::<Ethernet>(0)
            .map_or(0, |header| header.ethertype.get()),
    };
    match ethertype {
        ETHERTYPE_IPV4 => plain::<V4, P>(packet, filter),
        ETHERTYPE_IPV6 => plain::<V6, P>(packet, filter),
        // What is no IP is nobody's connection. Behind VLAN tags user space looks.
        ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN => 1,
        _ => 0,
    }
}

#[inline(always)]
fn plain<F: Network, P: Packet>(packet: &P, filter: &TraceFilter) -> u64 {
    let Some(headers) = packet.header::<Headers<F::Header>>(0) else {
        return 1;
    };
    let Some(plain) = F::plain(&headers.internet, usize::MAX) else {
        return 1;
    };
    if !matches!(
        plain.protocol,
        protocol::TCP | protocol::UDP | protocol::SCTP
    ) {
        return 1;
    }
    let addresses = [F::widen(plain.source), F::widen(plain.destination)];
    let ports = headers.transport.ports;
    let ports = [ports.source.get(), ports.destination.get()];
    let mut found = 0;
    let mut number = 0;
    while number < TRACE_TERMS {
        let Some(term) = filter.terms.get(number) else {
            break;
        };
        if number as u64 >= u64::from(filter.count) {
            break;
        }
        found |= matches(term, F::NUMBER, plain.protocol, &addresses, ports);
        number += 1;
    }
    found
}

/// 1 if a term is true of a packet, else 0. Without a branch, nor anything that a compiler makes one of: a verifier
/// follows one path.
#[inline(always)]
fn matches(
    term: &TraceTerm,
    family: u8,
    protocol: u8,
    [source, destination]: &[Address; 2],
    [from, to]: [u16; 2],
) -> u64 {
    let differs = |address: &Address| {
        let [high, low] = address_words(*address);
        let [wanted_high, wanted_low] = term.address;
        let [mask_high, mask_low] = term.mask;
        folded((high ^ wanted_high) & mask_high | (low ^ wanted_low) & mask_low)
    };
    let [first, last] = term.ports.map(u64::from);
    // The highest bit says that a difference is negative.
    let outside = |port: u16| {
        let port = u64::from(port);
        (port.wrapping_sub(first) | last.wrapping_sub(port)) >> 63
    };
    let other = |asked: u8, found: u8| u64::from(asked).wrapping_mul(u64::from(asked ^ found));
    // Two numbers of 32 bits: their product is 0 if one of them is.
    let address = folded(differs(source).wrapping_mul(differs(destination)));
    let ports = outside(from) & outside(to);
    let miss = address | ports | other(term.protocol, protocol) | other(term.family, family);
    (miss.wrapping_add(0xffff_ffff) >> 32) ^ 1
}

/// A number below 2 to the 32nd that is 0 if this one is.
#[inline(always)]
const fn folded(number: u64) -> u64 {
    (number | number >> 32) & 0xffff_ffff
}

/// Clears what an earlier packet left of that which is recorded.
#[inline(always)]
pub fn begin<F: Network>(work: &mut Work<F>) {
    work.key.kind = NO_KEY;
    work.service = Marked::NO_SERVICE;
    work.forward.route.server = NO_SERVER;
    work.before = PacketRecord::NO_STATE;
}

/// [`crate::connection::Key::kind`] of a packet whose key is not known.
const NO_KEY: u8 = 0xff;

/// Notes of a packet that was handled everything but its time and its images.
#[inline(never)]
pub fn record<F: Network, T: Tables + Store<F>>(
    tables: T,
    work: &Work<F>,
    verdict: Verdict,
    record: &mut PacketRecord,
) {
    let key = &work.key;
    record.verdict = verdict.to_bits();
    record.interface = work.forward.interface;
    record.service = work.service;
    record.server = work.forward.route.server;
    record.method = work.forward.route.method as u8;
    record.before = work.before;
    record.state = PacketRecord::NO_STATE;
    record.family = F::NUMBER;
    record.protocol = 0;
    if key.kind != Kind::Request as u8 {
        return;
    }
    record.protocol = key.protocol;
    record.client = F::widen(key.source);
    record.virtual_address = F::widen(key.destination);
    record.ports = key.ports.to_bytes();
    let place = Place::of(key.hash(tables), Store::<F>::sets(tables));
    if let Some(slot) = table::find::<F, T>(tables, key, place) {
        let found = slot.set.record(slot.way);
        record.state = slot.tag.state();
        record.service = tables.service_of(&found);
        record.server = tables.server_of(&found);
        record.method = found.method & 3;
    }
}
