//! `checktype = ping`: ICMP echo requests, one of which is answered (RFC 792, RFC 4443 section 4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_common::checksum::Sum;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::socket::by_service;
use super::{Found, Probe};
use crate::outcome::Failure;

/// Payload of an echo request in bytes, as much as `ping` sends.
const PAYLOAD: usize = 56;
/// Bytes of its ICMP header: type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// Longest answer that is looked at: an IPv4 header with options, and all that was sent.
const LONGEST: usize = 60 + HEADER + PAYLOAD;

/// Sends up to so many echo requests, until one is answered.
pub(crate) async fn probe(probe: &Probe<'_>, attempts: u32) -> Found {
    let awaited = "echo reply";
    probe.awaits(awaited);
    let failed = |source| Failure::Io { awaited, source };
    let attempts = attempts.max(1);
    let patience = probe.endpoint.timeout / attempts;
    let mut payload = [0; PAYLOAD];
    getrandom::fill(&mut payload).map_err(|error| failed(io::Error::other(error)))?;
    let (socket, identifier) = open(probe).await.map_err(failed)?;
    let identifier = identifier.unwrap_or(u16::from_be_bytes([payload[0], payload[1]]));
    for attempt in 1..=attempts {
        let request = request(probe.target().ip(), identifier, attempt, &payload);
        socket.send(&request).await.map_err(failed)?;
        // The last one is waited for until the whole probe is over.
        let patience = if attempt < attempts {
            patience
        } else {
            Duration::MAX
        };
        if let Ok(replied) = timeout(patience, replied(&socket, &payload)).await {
            replied.map_err(failed)?;
            return Ok(awaited.to_owned());
        }
    }
    Err(Failure::Timeout {
        awaited,
        limit: probe.endpoint.timeout,
    })
}

/// A socket that receives from the server, and the identifier that the requests must have.
///
/// The kernel has one for echo requests only, which gets no answers but its own; it is for groups that
/// net.ipv4.ping_group_range names, and that range is empty by default. Else it is a raw one, which
/// gets all ICMP of the server: for it the daemon keeps CAP_NET_RAW.
async fn open(probe: &Probe<'_>) -> io::Result<(UdpSocket, Option<u16>)> {
    let target = SocketAddr::new(probe.target().ip(), 0);
    let (domain, protocol) = match target {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    if let Some((socket, from)) = by_service(probe, target, Type::RAW, protocol).await? {
        socket.connect(&target.into())?;
        return Ok((UdpSocket::from_std(socket.into())?, Some(from.port())));
    }
    let socket = match Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?
        }
        socket => socket?,
    };
    if let Some(source) = probe.endpoint.source_for(target) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&target.into())?;
    // To the runtime a socket of datagrams is like any other.
    Ok((UdpSocket::from_std(socket.into())?, None))
}

fn request(
    to: IpAddr,
    identifier: u16,
    sequence: u32,
    payload: &[u8; PAYLOAD],
) -> [u8; HEADER + PAYLOAD] {
    let mut request = [0; HEADER + PAYLOAD];
    request[0] = match to {
        IpAddr::V4(_) => 8,
        IpAddr::V6(_) => 128,
    };
    // The identifier, as far as the kernel does not put its own there.
    request[4..6].copy_from_slice(&identifier.to_be_bytes());
    request[6..8].copy_from_slice(&sequence.to_be_bytes()[2..]);
    request[HEADER..].copy_from_slice(payload);
    if to.is_ipv4() {
        // For ICMPv6 the kernel fills it in (RFC 3542, section 3.1).
        let words = request.as_chunks().0.iter();
        let sum = words.fold(Sum::default(), |sum, word| sum.add(*word));
        request[2..4].copy_from_slice(&sum.checksum());
    }
    request
}

/// Waits for an echo reply with this payload. Whatever else there is on a raw socket is skipped.
async fn replied(socket: &UdpSocket, payload: &[u8; PAYLOAD]) -> io::Result<()> {
    let mut answer = [0; LONGEST];
    loop {
        let length = socket.recv(&mut answer).await?;
        if is_reply(&answer[..length], payload) {
            return Ok(());
        }
    }
}

/// Recognizes the reply, with or without its IPv4 header: the payload is random, so that no other packet
/// has it by chance.
fn is_reply(packet: &[u8], payload: &[u8; PAYLOAD]) -> bool {
    let icmp = match packet.first() {
        // An echo reply begins with 0 or 129: an IPv4 header cannot be taken for one.
        Some(first) if first >> 4 == 4 => packet.get(usize::from(first & 0xf) * 4..),
        _ => Some(packet),
    };
    icmp.and_then(|icmp| icmp.split_at_checked(HEADER))
        .is_some_and(|(header, rest)| matches!(header[0], 0 | 129) && rest == payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_is_recognised_with_and_without_the_header() {
        let payload = [7; PAYLOAD];
        let mut reply = request("127.0.0.1".parse().unwrap(), 7, 1, &payload);
        assert!(!is_reply(&reply, &payload));
        reply[0] = 0;
        assert!(is_reply(&reply, &payload));
        assert!(!is_reply(&reply, &[8; PAYLOAD]));
        let with_header = [[0x46; 24].as_slice(), &reply].concat();
        assert!(is_reply(&with_header, &payload));
        reply[0] = 129;
        assert!(is_reply(&reply, &payload));
    }

    proptest! {
        #[test]
        fn no_packet_does_harm(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            is_reply(&packet, &[0; PAYLOAD]);
        }
    }
}
