//! Forwarding: what each method does to a packet on its way to the real server, and NAT to a reply.

use crate::abi::{Hop, Method, Server};
use crate::answer;
use crate::checksum::Sum;
use crate::connection::{Key, Kind, Ports, Protocol, Signal};
use crate::crc32c;
use crate::family::Family;
use crate::link::{Egress, Link, UNTAGGED, make_room};
use crate::network::{Datagram, Network, Part, Trouble};
use crate::packet::Packet;
use crate::tables::Tables;
use crate::tunnel;
use crate::verdict::{Reason, Verdict};
use crate::wire::{SCTP_CHECKSUM, TCP_CHECKSUM, UDP_CHECKSUM};

/// A packet that is being forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forward<F: Family> {
    /// The interface it came by.
    pub interface: u32,
    /// Its link header.
    pub link: Link,
    /// Its IP header.
    pub datagram: Datagram<F>,
    /// Its transport protocol; `None` for an ICMP error about a connection.
    pub protocol: Option<Protocol>,
    /// What it says about its connection.
    pub signal: Signal,
    /// Its ports.
    pub ports: Ports,
    /// Hash of its flow; 0 until somebody needs it.
    pub hash: u64,
    /// The clock.
    pub now: u32,
    /// Where it goes, once that is known.
    pub route: Route,
    /// Its addresses and ports afterwards (NAT).
    pub rewrite: Rewrite<F>,
}

impl<F: Family> Forward<F> {
    /// What its connection is found by.
    #[inline(always)]
    pub const fn key(&self, kind: Kind) -> Key<F> {
        Key {
            source: self.datagram.source,
            destination: self.datagram.destination,
            ports: self.ports,
            protocol: self.datagram.protocol,
            kind: kind as u8,
        }
    }
}

/// New addresses and ports.
#[derive(Clone, Copy, Debug)]
pub struct Rewrite<F: Family> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Ports.
    pub ports: Ports,
}

/// Sends a packet to its real server.
#[inline(never)]
pub fn to_server<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Verdict {
    let Route {
        server,
        method,
        reason,
    } = forward.route;
    let Some(server) = tables.server(server) else {
        return Verdict::drop(Reason::ServerDeleted);
    };
    if method == Method::Local {
        return Verdict::pass(reason);
    }
    if forward.datagram.hop_limit <= 1 {
        return answer::send(packet, tables, forward, Trouble::TimeExceeded, 0);
    }
    let Some(hop) = tables.hop(server.hop).filter(|_| server.hop != 0) else {
        return Verdict::drop(Reason::Unresolved);
    };
    let result = match method {
        Method::Direct | Method::Local => direct(packet, tables, forward, hop, reason),
        Method::Nat => nat(packet, tables, forward, server, hop, reason),
        Method::Tunnel => return tunnel::send(packet, tables, forward),
    };
    result.unwrap_or(Verdict::drop(Reason::NoRoom))
}

/// Which server a packet goes to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Server index.
    pub server: u32,
    /// Forwarding method.
    pub method: Method,
    /// What to count.
    pub reason: Reason,
}

impl Route {
    /// An ordinary packet's.
    #[inline(always)]
    pub const fn new(server: u32, method: Method) -> Self {
        let reason = match method {
            Method::Nat => Reason::Nat,
            Method::Local => Reason::Local,
            Method::Tunnel => Reason::Tunnel,
            Method::Direct => Reason::Direct,
        };
        Self {
            server,
            method,
            reason,
        }
    }
}

#[inline(always)]
pub(crate) fn egress(hop: &Hop) -> Egress {
    Egress {
        destination: hop.destination,
        source: hop.source,
        tags: [hop.vlan, UNTAGGED[1]],
        interface: hop.interface,
    }
}

/// Direct routing: another link header, one hop less.
#[inline(always)]
fn direct<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &Forward<F>,
    hop: &Hop,
    reason: Reason,
) -> Option<Verdict> {
    let mtu = u32::from(hop.mtu);
    if forward.datagram.length() > mtu {
        return Some(answer::send(packet, tables, forward, Trouble::TooBig, mtu));
    }
    F::decrement(packet, &forward.datagram)?;
    send(packet, &forward.link, &egress(hop), F::ETHERTYPE, reason)
}

/// NAT towards the real server: its address and port instead of the virtual ones.
#[inline(always)]
fn nat<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
    server: &Server,
    hop: &Hop,
    reason: Reason,
) -> Option<Verdict> {
    if server.family != F::NUMBER {
        return Some(Verdict::drop(Reason::FamilyMismatch));
    }
    let mtu = u32::from(hop.mtu);
    if forward.datagram.length() > mtu {
        return Some(answer::send(packet, tables, forward, Trouble::TooBig, mtu));
    }
    let port = if server.port.get() == 0 {
        forward.ports.destination
    } else {
        server.port
    };
    forward.rewrite = Rewrite {
        source: forward.datagram.source,
        destination: F::narrow(&server.address),
        ports: Ports {
            source: forward.ports.source,
            destination: port,
        },
    };
    tables.settle();
    if let Err(reason) = rewrite(packet, tables, forward) {
        return Some(Verdict::drop(reason));
    }
    send(packet, &forward.link, &egress(hop), F::ETHERTYPE, reason)
}

/// NAT towards the client: `rewrite` holds the virtual address and port that it asked for.
#[inline(never)]
pub fn to_client<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
    client: &Egress,
) -> Verdict {
    if client.interface == 0 {
        // The connection came from another director, and the client was not heard here yet.
        return Verdict::drop(Reason::Unresolved);
    }
    if forward.datagram.hop_limit <= 1 {
        return answer::send(packet, tables, forward, Trouble::TimeExceeded, 0);
    }
    match rewrite(packet, tables, forward) {
        Ok(()) => send(
            packet,
            &forward.link,
            client,
            F::ETHERTYPE,
            Reason::NatReply,
        )
        .unwrap_or(Verdict::drop(Reason::NoRoom)),
        Err(reason) => Verdict::drop(reason),
    }
}

/// Replaces addresses and ports with all checksums over them, and takes one hop.
#[inline(never)]
fn rewrite<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Result<(), Reason> {
    replace(packet, tables, forward).unwrap_or(Err(Reason::Truncated))
}

/// `None`: the packet ends before its headers do.
#[inline(always)]
fn replace<F: Network, P: Packet, T: Tables>(
    packet: &mut P,
    tables: T,
    forward: &mut Forward<F>,
) -> Option<Result<(), Reason>> {
    let datagram = &forward.datagram;
    let Rewrite {
        source,
        destination,
        ports,
    } = &forward.rewrite;
    let has_ports = datagram.part != Part::Later;
    if let Some(protocol) = forward.protocol.filter(|_| has_ports) {
        let addresses = F::difference(datagram.addresses(), [source, destination]);
        let old = forward.ports.to_bytes();
        let fresh = ports.to_bytes();
        let difference = addresses.remove(old).add(fresh);
        match protocol {
            Protocol::Tcp => {
                update(packet, datagram.transport + TCP_CHECKSUM, |sum| {
                    difference.update(sum)
                })?;
            }
            Protocol::Udp => {
                update(packet, datagram.transport + UDP_CHECKSUM, |sum| {
                    udp(difference, sum)
                })?;
            }
            Protocol::Sctp if old != fresh => {
                if datagram.part != Part::Whole {
                    // The CRC covers bytes that are in other fragments.
                    return Some(Err(Reason::NatImpossible));
                }
                let place = datagram.transport + SCTP_CHECKSUM;
                let crc: [u8; 4] = *packet.header(place)?;
                #[expect(clippy::cast_possible_truncation, reason = "below 64 KiB")]
                let following = datagram.end.checked_sub(datagram.transport + 4)? as u32;
                let mut change = crc32c::Change::new(old, fresh);
                tables.walk(following & 0xffff, &mut change);
                let crc = change.apply(u32::from_le_bytes(crc));
                *packet.header_mut(place)? = crc.to_le_bytes();
            }
            Protocol::Sctp => {}
        }
        *packet.header_mut(datagram.transport)? = *ports;
    }
    F::readdress(packet, datagram, source, destination)?;
    F::decrement(packet, datagram)?;
    Some(Ok(()))
}

#[inline(always)]
fn update<P: Packet>(
    packet: &mut P,
    offset: usize,
    change: impl FnOnce([u8; 2]) -> [u8; 2],
) -> Option<()> {
    let sum: &mut [u8; 2] = packet.header_mut(offset)?;
    *sum = change(*sum);
    Some(())
}

/// RFC 768: a UDP checksum of zero says that there is none, a computed zero is sent as all ones.
#[inline(always)]
pub(crate) fn udp(difference: Sum, sum: [u8; 2]) -> [u8; 2] {
    if sum == [0, 0] {
        return sum;
    }
    match difference.update(sum) {
        [0, 0] => [0xff, 0xff],
        sum => sum,
    }
}

/// Writes the link header and sends the packet.
#[inline(always)]
pub fn send<P: Packet>(
    packet: &mut P,
    link: &Link,
    egress: &Egress,
    ethertype: u16,
    reason: Reason,
) -> Option<Verdict> {
    make_room(packet, link.payload, egress.tags, 0)?;
    egress.write(packet, ethertype)?;
    Some(egress.verdict(packet, reason))
}
