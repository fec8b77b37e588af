//! The real servers' end of tunnels: IP in IP, GUE and GRE.
//!
//! On a real server this is the kernel's `tunl0`, `ip6tnl0` or `sit0`, its `fou` or its `gre0`. Not every kernel has
//! these modules, so the lab unwraps packets itself: a raw socket receives the outer packet, another sends
//! the inner one. Its destination is an address of this host, so the kernel takes it in over
//! loopback as if it had come that way, the client's address as its source.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::namespace::Namespace;
use super::udp::{PATIENCE, Workers};
use crate::pairs;

const IPPROTO_IPIP: i32 = 4;
const IPPROTO_UDP: i32 = 17;
const IPPROTO_IPV6: i32 = 41;
const IPPROTO_GRE: i32 = 47;
const IPPROTO_RAW: i32 = 255;

/// UDP port of GUE.
pub(super) const GUE_PORT: u16 = 6080;

/// Unwraps IPv4 and IPv6 in IPv4 and IPv6.
pub(super) struct Decapsulator {
    _workers: Workers,
    /// Without a socket the kernel would answer what comes for the port of GUE.
    _port: UdpSocket,
}

/// What a worker receives from and sends to.
struct Sockets {
    receive: Socket,
    send: [Socket; 2],
}

impl Sockets {
    fn open(outer: Domain, protocol: i32) -> std::io::Result<Self> {
        let receive = Socket::new(outer, Type::RAW, Some(Protocol::from(protocol)))?;
        receive.set_read_timeout(Some(PATIENCE))?;
        receive.set_recv_buffer_size(4 << 20)?;
        // With this protocol number what is sent is a whole packet.
        let send = |family| Socket::new(family, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
        Ok(Self {
            receive,
            send: [send(Domain::IPV4)?, send(Domain::IPV6)?],
        })
    }
}

impl Decapsulator {
    /// For a real server with these addresses, of IPv4 and of IPv6.
    pub(super) fn start(namespace: &Namespace, own: [IpAddr; 2]) -> Result<Self> {
        let mut workers = Workers::new();
        let protocols = [IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_UDP, IPPROTO_GRE];
        for ((outer, own), protocol) in
            pairs([(Domain::IPV4, own[0]), (Domain::IPV6, own[1])], protocols)
        {
            let sockets = namespace
                .enter(|| Sockets::open(outer, protocol))?
                .context("cannot open raw sockets")?;
            let mut buffer = vec![0; 65_536];
            workers.repeat(move || {
                let received = sockets
                    .receive
                    .peek_sender()
                    .and_then(|sender| Ok((sender, (&sockets.receive).read(&mut buffer)?)));
                match received {
                    Ok((sender, length)) => {
                        // IPv4 raw sockets deliver the outer header too, IPv6 ones do not.
                        let packet = &mut buffer[..length];
                        let packet = if outer == Domain::IPV4 {
                            payload(packet)
                        } else {
                            Some(packet)
                        };
                        let sender = sender.as_socket().map(|sender| sender.ip());
                        let inner = packet
                            .and_then(|packet| unwrap(packet, protocol, [sender?, own]))
                            .and_then(destination);
                        if let Some((packet, to)) = inner {
                            let family = usize::from(to.is_ipv6());
                            // What the host cannot take it drops, as it would from a wire.
                            let _ = sockets.send[family].send_to(packet, &to);
                        }
                    }
                    Err(error) => debug_assert!(
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
                        "raw socket: {error}"
                    ),
                }
            });
        }
        let port = namespace.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, GUE_PORT)))??;
        Ok(Self {
            _workers: workers,
            _port: port,
        })
    }
}

/// The packet inside an outer one's payload, its checksum finished; `None` if there is none, or a checksum outside is
/// wrong. `ends`: source and destination of the outer packet.
fn unwrap(payload: &mut [u8], protocol: i32, ends: [IpAddr; 2]) -> Option<&mut [u8]> {
    let (headers, covered) = match protocol {
        IPPROTO_UDP => {
            let port = u16::from_be_bytes(payload.get(2..4)?.try_into().ok()?);
            // Version 0, no extension fields.
            if port != GUE_PORT || payload.get(8..9)? != [0] || payload.get(10..12)? != [0, 0] {
                return None;
            }
            let mut pseudo = Vec::new();
            for end in ends {
                match end {
                    IpAddr::V4(end) => pseudo.extend(end.octets()),
                    IpAddr::V6(end) => pseudo.extend(end.octets()),
                }
            }
            pseudo.extend(u32::try_from(payload.len()).ok()?.to_be_bytes());
            pseudo.extend([0, 0, 0, 17]);
            (12, (payload[6..8] != [0, 0]).then_some(pseudo))
        }
        IPPROTO_GRE => match payload.get(..2)? {
            [0, 0] => (4, None),
            [0x80, 0] => (8, Some(Vec::new())),
            _ => return None,
        },
        _ => (0, None),
    };
    finish(payload.get_mut(headers..)?);
    let wrong = covered.is_some_and(|mut covered| {
        covered.extend_from_slice(payload);
        checksum(&covered) != 0
    });
    if wrong {
        return None;
    }
    payload.get_mut(headers..)
}

/// The payload behind an IPv4 header.
fn payload(packet: &mut [u8]) -> Option<&mut [u8]> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    packet.get_mut(length..)
}

/// The inner packet and whom it is for; `None` if a host would not take it for a packet.
fn destination(packet: &mut [u8]) -> Option<(&mut [u8], SockAddr)> {
    let address = match packet.first()? >> 4 {
        4 => {
            // The kernel writes a new checksum when it sends: a wrong one has to be found here.
            let header = packet.get(..usize::from(packet.first()? & 0x0f) * 4)?;
            if checksum(header) != 0 {
                return None;
            }
            let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            IpAddr::from(Ipv4Addr::from(destination))
        }
        6 => {
            let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(destination))
        }
        _ => return None,
    };
    Some((packet, SockAddr::from(SocketAddr::new(address, 0))))
}

/// Finishes the checksum of a TCP segment or a datagram that its sender left unfinished (`CHECKSUM_PARTIAL`), as it may
/// where nothing but virtual devices lie between: its field has the sum of the pseudo-header. A tunnel device would
/// know by the socket buffer, which does not come through a raw socket. Any other sum stays, right or wrong.
fn finish(packet: &mut [u8]) {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let (start, protocol, addresses) = match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => (
            usize::from(packet[0] & 0x0f) * 4,
            packet[9],
            packet[12..20].to_vec(),
        ),
        Some(6) if packet.len() >= 40 => (40, packet[6], packet[8..40].to_vec()),
        _ => return,
    };
    let field = match protocol {
        TCP => start + 16,
        UDP => start + 6,
        _ => return,
    };
    let Some(length) = packet.len().checked_sub(start) else {
        return;
    };
    let length = u32::try_from(length).unwrap_or_default().to_be_bytes();
    let pseudo = [&addresses[..], &length, &[0, 0, 0, protocol]].concat();
    let unfinished = (!checksum(&pseudo)).to_be_bytes();
    if packet.get(field..field + 2) != Some(&unfinished) {
        return;
    }
    // What the field holds is the pseudo-header's part of the sum.
    let sum = checksum(&packet[start..]).to_be_bytes();
    packet[field..field + 2].copy_from_slice(&sum);
}

/// The internet checksum; 0 over a header that contains its own.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| {
        u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or_default(),
        ]))
    });
    // 64 KiB of them fit.
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits above")]
    let folded = sum as u16;
    !folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_finished_only_if_it_was_left_unfinished() {
        let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend([0, 1, 0, 2, 0, 12, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
        let pseudo = [&packet[12..20], &[0, 0, 0, 12, 0, 0, 0, 17]].concat();
        for (sum, finished) in [(!checksum(&pseudo), true), (0x1234, false)] {
            packet[26..28].copy_from_slice(&sum.to_be_bytes());
            let before = packet.clone();
            finish(&mut packet);
            assert_eq!(packet != before, finished);
            if finished {
                assert_eq!(checksum(&[&pseudo[..], &packet[20..]].concat()), 0);
            }
        }
    }
}
