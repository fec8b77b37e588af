//! Sources that the kernel refuses before IPVS would see a packet: `ip_rcv`, `ip_route_input_slow` and
//! `fib_validate_source` for IPv4, `ip6_rcv_core` for IPv6.
//!
//! | source | refused |
//! |---|---|
//! | multicast, limited broadcast, unspecified | always |
//! | loopback | unless the interface has `route_localnet` |
//! | an own address, the virtual address | unless the interface has `accept_local` |
//! | without a way back | `rp_filter` 1 or 2 |
//! | with a way back by another interface, and none of equal cost by this one | `rp_filter` 1 |
//!
//! The interface is the one that the kernel has the packet come by ([`super::upper_device`]): that of its VLAN, the
//! bond or bridge of its port.
//!
//! (An own IPv6 address is no reason for the kernel; nobody sends from one.) Whoever begins something is judged,
//! and whoever goes on with it in another way: a connection whose packets come by another interface than before.

use super::client_route::{self, NOT_ASKED};
use super::upper_device::device;
use super::work::Work;
use crate::abi::{HostAddress, Interface, addr_filter_bit};
use crate::connection::{Client, Direction, Protocol, Signal};
use crate::ethernet::Vlans;
use crate::network::Network;
use crate::routes::{Lookup, Routes};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::wire::ETHERTYPE_VLAN;

/// Judges the source of a packet for a service that belongs to no connection. True: it is refused, and the work has
/// the verdict. The answer of the routes, if they were asked, stays in the work.
#[inline(never)]
pub(super) fn refuses<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    work.answer = NOT_ASKED;
    let device = device(tables, work.forward.interface, work.forward.ethernet.vlans);
    let flags = interface_flags(tables, device);
    let [source, destination] = work.forward.datagram.addresses();
    let reason = if is_martian::<F>(source, flags) {
        Reason::Martian
    } else if is_own::<F, T>(tables, source, destination, flags) {
        Reason::OwnSource
    } else if F::NUMBER == 4
        && flags & Interface::RP_FILTER != 0
        && !leads_back(routes, tables, work, device, flags)
    {
        Reason::RpFilter
    } else {
        return false;
    };
    work.verdict = Verdict::drop(reason);
    true
}

/// Judges the source of a packet of a connection whose `client` came, or has its replies sent, by that way. True: it
/// is refused, and the work has the verdict.
#[inline(always)]
pub(super) fn refuses_change<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
    client: &Client,
) -> bool {
    let forward = &work.forward;
    came_another_way::<F, T>(tables, client, forward.interface, forward.ethernet.vlans)
        && refuses_other_way(routes, tables, work)
}

/// Returns whether a packet has to be judged for coming by another interface than its connection's others.
#[inline(always)]
pub(super) fn came_another_way<F: Network, T: Tables>(
    tables: T,
    client: &Client,
    interface: u32,
    vlans: Vlans,
) -> bool {
    F::NUMBER == 4
        && came_elsewhere(client, interface, vlans)
        && tables
            .config()
            .is_some_and(|config| config.interface_flags & Interface::RP_FILTER != 0)
        && device(tables, interface, vlans) != device_of(tables, client)
}

/// Returns whether a packet may be another device's than that of its `client`'s way: the outer VLAN is another one, or
/// the interface.
#[inline(always)]
pub(super) fn came_elsewhere(client: &Client, interface: u32, vlans: Vlans) -> bool {
    client.index() != interface || !vlans.is_in(client.vlan)
}

#[inline(never)]
fn refuses_other_way<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    let device = device(tables, work.forward.interface, work.forward.ethernet.vlans);
    let flags = interface_flags(tables, device);
    if flags & Interface::RP_FILTER == 0 || leads_back(routes, tables, work, device, flags) {
        return false;
    }
    work.verdict = Verdict::drop(Reason::RpFilter);
    true
}

/// The bits of an interface that tell which sources are refused. Where all interfaces have the same it is not looked
/// for, which would be a look into a hash.
#[inline(always)]
pub(super) fn interface_flags<T: Tables>(tables: T, interface: u32) -> u32 {
    let (any, common) = tables.config().map_or((0, 0), |config| {
        (config.interface_flags, config.common_checks)
    });
    if any & Interface::SOURCE_CHECKS == common {
        return common;
    }
    tables.interface(interface).map_or(0, |found| found.flags)
}

/// Returns whether an address is none that a host sends from.
#[inline(always)]
pub(super) fn is_martian<F: Network>(source: &F::Address, flags: u32) -> bool {
    F::is_martian(source) && !(flags & Interface::ROUTE_LOCALNET != 0 && F::is_loopback(source))
}

/// Returns whether a packet has an address of this host as its source and may not.
#[inline(always)]
pub(super) fn is_own<F: Network, T: Tables>(
    tables: T,
    source: &F::Address,
    destination: &F::Address,
    flags: u32,
) -> bool {
    if flags & Interface::ACCEPT_LOCAL != 0 {
        return false;
    }
    if F::same([source, source], [destination, destination]) {
        return true;
    }
    let address = F::widen(*source);
    let (word, bit) = addr_filter_bit(&address);
    tables.own_filter(word) >> bit & 1 != 0
        && tables.is_own_address(&HostAddress {
            address,
            family: u32::from(F::NUMBER),
            interface: 0,
        })
}

/// Asks for the way back to the source of a packet that is a device's. What the kernel does not tell is no reason to
/// refuse it.
#[inline(always)]
fn leads_back<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
    device: u32,
    flags: u32,
) -> bool {
    work.answer = client_route::ask(routes, &mut work.lookup, &work.key, device);
    accepts(work.answer, flags, || is_way_back(tables, work, device))
}

/// Returns whether the way back that the work has is a `device`'s, or one of equal cost is (`fib_info_nh_uses_dev`). A
/// source on the network of another interface has no such way, but where that is the link to one other host.
#[inline(always)]
fn is_way_back<F: Network, T: Tables>(tables: T, work: &Work<F>, device: u32) -> bool {
    let lookup = &work.lookup;
    lookup.interface == device
        || tables.interface(lookup.interface).is_some_and(|way| {
            let behind_gateway = lookup.destination != F::widen(work.key.source);
            (behind_gateway || way.flags & Interface::NO_ETHERNET != 0)
                && is_equal_cost(tables, way, device)
        })
}

/// Returns whether routes of equal cost lead by an interface and by a `device`.
#[inline(always)]
fn is_equal_cost<T: Tables>(tables: T, way: &Interface, device: u32) -> bool {
    way.equal_cost != 0
        && tables
            .interface(device)
            .is_some_and(|other| other.equal_cost == way.equal_cost)
}

/// Returns whether an answer of the routes allows a source; `same_way` tells whether the way back is the way by
/// which the packet came.
#[inline(always)]
pub(super) fn accepts(answer: u32, flags: u32, same_way: impl FnOnce() -> bool) -> bool {
    if Lookup::leads_on(answer) {
        return flags & Interface::RP_STRICT == 0 || same_way();
    }
    answer > Lookup::NOT_FORWARDED
}

/// Returns whether a packet ends its connection, or the end of it goes on: afterwards that is idle for less time.
#[inline(always)]
pub(super) fn ends(signal: Signal, protocol: Protocol, direction: Direction, state: u8) -> bool {
    let next = signal.next(direction, state);
    next != state && protocol.closing(next)
}

/// Judges a client's packet that would end its connection and came by another interface or VLAN than that which leads
/// to its `client`, or by which the first packet came: it may be anybody's, and then it is sent on, but ends nothing. It is
/// the client's where the routes lead back by this interface now.
#[inline(never)]
pub(super) fn distrust_end<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
    client: &Client,
) {
    let forward = &work.forward;
    // A connection from another director has no way yet.
    if client.interface == 0 {
        return;
    }
    let device = device(tables, forward.interface, forward.ethernet.vlans);
    if device == device_of(tables, client) {
        return;
    }
    let answer = client_route::ask(routes, &mut work.lookup, &work.key, device);
    if !accepts(answer, Interface::RP_STRICT, || {
        is_way_back(tables, work, device)
    }) {
        work.forward.signal = Signal::Nothing;
    }
}

/// The device by which packets leave that go the way of a `client`.
#[inline(always)]
fn device_of<T: Tables>(tables: T, client: &Client) -> u32 {
    let vlans = Vlans::of(client.vlan, ETHERTYPE_VLAN);
    device(tables, client.index(), vlans)
}

/// A packet from a real server's address that came by another interface than the one which leads to the server may be
/// anybody's. Returns what it may do to its connection in this state: as far as it ends that, nothing.
#[inline(always)]
pub(super) fn trusted(signal: Signal, protocol: Protocol, state: u8) -> Signal {
    if ends(signal, protocol, Direction::Output, state) {
        Signal::Nothing
    } else {
        signal
    }
}

/// Returns whether a packet from a real server's address that is a `device`'s came by the interface that leads to
/// the server, or whether that is not known.
#[inline(always)]
pub(super) fn is_from_server<T: Tables>(tables: T, server: u32, device: u32) -> bool {
    let hop = tables
        .server(server)
        .filter(|server| server.hop != 0)
        .and_then(|server| tables.hop(server.hop));
    hop.is_none_or(|hop| hop.device == device)
}

/// Judges a packet from a real server's address that came by another interface than the one which leads to the
/// server. True: its `device` refuses it.
#[inline(always)]
pub(super) fn refuses_reply<F: Network, T: Tables>(tables: T, server: u32, device: u32) -> bool {
    let way = || {
        let hop = tables.hop(tables.server(server)?.hop)?;
        tables.interface(hop.device)
    };
    F::NUMBER == 4
        && interface_flags(tables, device) & Interface::RP_STRICT != 0
        && !way().is_some_and(|way| is_equal_cost(tables, way, device))
}
