//! Sources that the kernel refuses before IPVS would see a packet: `ip_rcv`, `ip_route_input_slow` and
//! `fib_validate_source` for IPv4, `ip6_rcv_core` for IPv6.
//!
//! | source | refused |
//! |---|---|
//! | multicast, limited broadcast, unspecified | always |
//! | loopback | unless the interface has `route_localnet` |
//! | an own address, the virtual address | unless the interface has `accept_local` |
//! | without a way back | `rp_filter` 1 or 2 |
//! | with a way back by another interface | `rp_filter` 1 |
//!
//! (An own IPv6 address is no reason for the kernel; nobody sends from one.) Whoever begins something is judged,
//! and whoever goes on with it in another way: a connection whose packets come by another interface than before.

use super::client_route::{self, NOT_ASKED};
use super::work::Work;
use crate::abi::{HostAddress, Interface};
use crate::connection::{Client, Direction, Protocol, Signal};
use crate::ethernet::EthernetHeader;
use crate::network::Network;
use crate::routes::{Lookup, Routes};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// Judges the source of a packet for a service that belongs to no connection. True: it is refused, and the work has
/// the verdict. The answer of the routes, if they were asked, stays in the work.
#[inline(never)]
pub(super) fn refuses<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    work.answer = NOT_ASKED;
    let flags = interface_flags(tables, work.forward.interface);
    let [source, destination] = work.forward.datagram.addresses();
    let reason = if is_martian::<F>(source, flags) {
        Reason::Martian
    } else if is_own::<F, T>(tables, source, destination, flags) {
        Reason::OwnSource
    } else if F::NUMBER == 4
        && flags & Interface::RP_FILTER != 0
        && !leads_back(routes, tables, work, flags)
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
    came_another_way::<F, T>(tables, client, work.forward.interface)
        && refuses_other_way(routes, tables, work)
}

/// Returns whether a packet has to be judged for coming by another interface than its connection's others.
#[inline(always)]
pub(super) fn came_another_way<F: Network, T: Tables>(
    tables: T,
    client: &Client,
    interface: u32,
) -> bool {
    F::NUMBER == 4
        && client.index() != interface
        && tables
            .config()
            .is_some_and(|config| config.interface_flags & Interface::RP_FILTER != 0)
}

#[inline(never)]
fn refuses_other_way<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    let flags = interface_flags(tables, work.forward.interface);
    if flags & Interface::RP_FILTER == 0 || leads_back(routes, tables, work, flags) {
        return false;
    }
    work.verdict = Verdict::drop(Reason::RpFilter);
    true
}

/// The flags of an interface; none where none has any that matters here.
#[inline(always)]
pub(super) fn interface_flags<T: Tables>(tables: T, interface: u32) -> u32 {
    let any = tables.config().map_or(0, |config| config.interface_flags);
    if any & Interface::SOURCE_CHECKS == 0 {
        return 0;
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
    F::same([source, source], [destination, destination])
        || tables.is_own_address(&HostAddress {
            address: F::widen(*source),
            family: u32::from(F::NUMBER),
            interface: 0,
        })
}

/// Asks for the way back to the source of a packet. What the kernel does not tell is no reason to refuse it.
#[inline(always)]
fn leads_back<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
    flags: u32,
) -> bool {
    let interface = work.forward.interface;
    work.answer = client_route::ask(routes, &mut work.lookup, &work.key, interface);
    accepts(work.answer, flags, || {
        is_same_way(tables, &work.lookup, interface, &work.forward.ethernet)
    })
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

/// Returns whether an answer leads to the device whose frames those with this header are.
#[inline(always)]
fn is_same_way<T: Tables>(
    tables: T,
    lookup: &Lookup,
    interface: u32,
    header: &EthernetHeader,
) -> bool {
    let [outer, _] = header.tags;
    let id = outer.get() & 0xfff;
    if lookup.interface == interface && id == 0 {
        return true;
    }
    tables
        .interface(lookup.interface)
        .is_some_and(|device| device.lower == interface && device.vlan.get() & 0xfff == id)
}

/// A packet from a real server's address that came by another interface than the one which leads to the server may be
/// anybody's. Returns what it may do to its connection in this state: as far as it ends that, nothing.
#[inline(always)]
pub(super) fn trusted(signal: Signal, protocol: Protocol, state: u8) -> Signal {
    if protocol.active(signal.next(Direction::Output, state)) {
        signal
    } else {
        Signal::Nothing
    }
}

/// Returns whether a packet from a real server's address came by the interface that leads to the server, or
/// whether that is not known.
#[inline(always)]
pub(super) fn is_from_server<T: Tables>(tables: T, server: u32, interface: u32) -> bool {
    let hop = tables
        .server(server)
        .filter(|server| server.hop != 0)
        .and_then(|server| tables.hop(server.hop));
    hop.is_none_or(|hop| hop.interface == interface)
}

/// Judges a packet from a real server's address that came by another interface than the one which leads to the
/// server. True: the interface refuses it.
#[inline(always)]
pub(super) fn refuses_reply<F: Network, T: Tables>(tables: T, interface: u32) -> bool {
    F::NUMBER == 4 && interface_flags(tables, interface) & Interface::RP_STRICT != 0
}
