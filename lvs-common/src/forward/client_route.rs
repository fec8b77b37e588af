//! The way of replies to clients (NAT): the kernel's routes name it, from the virtual address to the client.
//!
//! It is looked up for the first packet of a connection and kept in the entry with the generation that the
//! routes had. Of another generation, or missing (a connection that another director made), it is looked up for
//! the next reply. Nothing is learned from the Ethernet addresses of the client's packets: whoever sends some
//! in a client's name is not who its replies go to.

use super::stage::Stage;
use super::upper_device::device;
use super::work::Work;
use crate::abi::{Config, EthernetAddresses, HostAddress, Interface, LOOPBACK, Method};
use crate::connection::table::{self, Store, Ways};
use crate::connection::{Client, Key, Record};
use crate::ethernet::{Egress, Tags};
use crate::family::V4;
use crate::network::Network;
use crate::routes::{Lookup, Routes};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};

/// [`Work::answer`] while the routes were not asked for the packet at hand.
pub(super) const NOT_ASKED: u32 = u32::MAX;

/// The routes' generation, to be read before they are asked.
#[inline(always)]
pub(super) fn generation<T: Tables>(tables: T) -> u32 {
    tables.config().map_or(0, |config| config.route_generation)
}

/// Asks for the way from the virtual address to the client of a key, as for a packet that is this device's.
#[inline(always)]
pub(super) fn ask<F: Network, R: Routes>(
    routes: R,
    lookup: &mut Lookup,
    key: &Key<F>,
    interface: u32,
) -> u32 {
    lookup.family = F::SOCKET_FAMILY;
    lookup.protocol = key.protocol;
    lookup.ports = key.ports.reversed();
    lookup.length = 0;
    lookup.interface = interface;
    lookup.class = 0;
    lookup.source = F::widen(key.destination);
    lookup.destination = F::widen(key.source);
    look_up(routes, lookup)
}

/// Where nothing is forwarded that comes by the packet's interface the kernel names no route for it, only for what
/// comes by an interface that does forward: the daemon sees to it that the loopback interface is one.
#[inline(never)]
fn look_up<R: Routes>(routes: R, lookup: &mut Lookup) -> u32 {
    let [first, second, ..] = lookup.destination;
    // The same link-local addresses are on every link.
    if lookup.family != V4_SOCKETS && first == 0xfe && second & 0xc0 == 0x80 {
        return routes.look_up(lookup, Lookup::OUTPUT);
    }
    let answer = routes.look_up(lookup, 0);
    if answer != Lookup::FORWARDING_OFF {
        return answer;
    }
    lookup.interface = LOOPBACK;
    routes.look_up(lookup, 0)
}

const V4_SOCKETS: u8 = V4::SOCKET_FAMILY;

/// The way that an answer names; without an interface where the next hop's Ethernet address is not known.
#[inline(always)]
pub(super) fn way<T: Tables>(tables: T, lookup: &Lookup, answer: u32, generation: u32) -> Client {
    let device = lookup.interface;
    let (options, any) = tables
        .config()
        .map_or((0, 0), |config| (config.options, config.interface_flags));
    // Where no interface carries another one's frames, and all take frames from an XDP program, only a next hop
    // that is not known asks for more. A look into the hash costs a third of one into the routes.
    let asked =
        answer != Lookup::FOUND || options & Config::MIXED != 0 || any & Interface::HAS_UPPER != 0;
    let found = if asked {
        tables.interface(device)
    } else {
        None
    };
    let (flags, lower, vlan) = match found {
        Some(found) => (found.flags, found.lower, found.vlan),
        None => (0, device, 0.into()),
    };
    // Where there is no Ethernet header there is no address to know.
    let known = answer != Lookup::NO_NEIGHBOUR || flags & Interface::NO_ETHERNET != 0;
    let by_tc = options & Config::MIXED != 0 && flags & Interface::SENDS_XDP == 0;
    let (interface, vlan) = if by_tc {
        (device | Client::BY_TC, 0.into())
    } else {
        (lower, vlan)
    };
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is kept")]
    Client {
        vlan,
        generation: generation as u16,
        ethernet: EthernetAddresses::new(lookup.neighbour, lookup.own),
        interface: if known { interface } else { 0 },
    }
}

/// The end of a packet to or from a client that no route leads to.
#[inline(always)]
const fn no_way(answer: u32) -> Verdict {
    Verdict::drop(if answer == Lookup::FORWARDING_OFF {
        Reason::ForwardingOff
    } else {
        Reason::NoRouteToClient
    })
}

/// Has the daemon find the next hop of an answer.
#[inline(always)]
fn request_neighbour<T: Tables>(tables: T, lookup: &Lookup) {
    tables.request_neighbour(&HostAddress {
        address: lookup.destination,
        // A route of IPv4 may lead to a router that has an IPv6 address.
        family: if lookup.family == V4_SOCKETS { 4 } else { 6 },
        interface: lookup.interface,
    });
}

/// Finds the way of the replies to a new connection.
#[inline(never)]
pub(super) fn find<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let interface = work.forward.interface;
    let generation = generation(tables);
    if work.forward.route.method != Method::Nat {
        work.way = came_by(interface, work.forward.ethernet.tags, generation);
        return Stage::Insert;
    }
    let device = device(tables, interface, work.forward.ethernet.vlans);
    if work.answer == NOT_ASKED {
        work.answer = ask(routes, &mut work.lookup, &work.key, device);
    }
    let answer = work.answer;
    if !Lookup::leads_on(answer) {
        return work.end(no_way(answer));
    }
    work.way = way(tables, &work.lookup, answer, generation);
    work.asymmetric = asymmetric(&work.lookup, device);
    if work.way.interface == 0 {
        request_neighbour(tables, &work.lookup);
    }
    Stage::Insert
}

/// [`Record::ASYMMETRIC`] where an answer leads by another device than the one that the packet is of, or 0.
#[inline(always)]
pub(super) const fn asymmetric(lookup: &Lookup, device: u32) -> u8 {
    if lookup.interface == device {
        0
    } else {
        Record::ASYMMETRIC
    }
}

/// The client's part of the entry of a connection without replies.
#[inline(always)]
pub(super) const fn came_by(interface: u32, [tag, _]: Tags, generation: u32) -> Client {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is kept")]
    Client {
        vlan: tag,
        generation: generation as u16,
        ethernet: EthernetAddresses::NONE,
        interface,
    }
}

/// Has the way to the client of a connection ready: `work.key` is what the client asked for, `work.number` the
/// connection's, and `work.way` what its entry holds. [`Stage::Ended`]: there is none, and the work has the
/// verdict. A socket buffer can wait for the next hop's Ethernet address.
#[inline(never)]
pub(super) fn ready<F: Network, R: Routes, T: Tables + Store<F>>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
    buffer: bool,
) -> Stage {
    work.waits = false;
    if !work.way.is_fresh(generation(tables)) && !renew(routes, tables, work) {
        work.waits = buffer && work.verdict == Verdict::drop(Reason::ClientUnresolved);
        if !work.waits {
            return Stage::Ended;
        }
        work.way.interface = work.lookup.interface;
    }
    work.client = Egress::from(work.way);
    Stage::ToClient
}

/// The verdict on a packet that was sent to the client for this reason, if it has to wait for the next hop's Ethernet
/// address.
#[inline(always)]
pub(super) fn waiting<F: Network>(work: &Work<F>, sent: Verdict, reason: Reason) -> Verdict {
    // Another end is an answer to the server, which goes back where it came from.
    if work.waits && sent.counter() == reason as u32 {
        return Verdict::neighbour(work.client.interface, reason);
    }
    sent
}

/// Looks up the way to the client of a connection that keeps none: `work.key` is what the client asked for. False:
/// there is none, and the work has the verdict.
#[inline(never)]
pub(super) fn look_up_way<F: Network, R: Routes, T: Tables>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    let found = find_way(routes, tables, work);
    work.client = Egress::from(work.way);
    found
}

#[inline(always)]
fn find_way<F: Network, R: Routes, T: Tables>(routes: R, tables: T, work: &mut Work<F>) -> bool {
    let generation = generation(tables);
    let device = device(tables, work.forward.interface, work.forward.ethernet.vlans);
    let answer = ask(routes, &mut work.lookup, &work.key, device);
    if !Lookup::leads_on(answer) {
        work.verdict = no_way(answer);
        return false;
    }
    work.way = way(tables, &work.lookup, answer, generation);
    if work.way.interface == 0 {
        request_neighbour(tables, &work.lookup);
        work.verdict = Verdict::drop(Reason::ClientUnresolved);
        return false;
    }
    true
}

/// Looks the way to a client up again, and keeps it in the entry of its connection.
#[inline(always)]
fn renew<F: Network, R: Routes, T: Tables + Store<F>>(
    routes: R,
    tables: T,
    work: &mut Work<F>,
) -> bool {
    if !find_way(routes, tables, work) {
        return false;
    }
    if let Some(slot) = table::by_number::<F, T>(tables, work.number)
        && slot.set.holds(slot.way, &work.key)
    {
        slot.set.set_client(slot.way, &work.way);
        // The entry may have become another connection's meanwhile, whose way this is not.
        if !table::unchanged(&slot) {
            slot.set.set_client(slot.way, &Client::default());
        }
    }
    true
}
