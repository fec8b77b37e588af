//! The segments of a half-open connection: a SYN, and what answers it. Pure.

use std::net::{IpAddr, SocketAddr};

use etherparse::{TcpHeader, TcpHeaderSlice, TcpOptionElement};

/// Bytes of the largest segment that is announced, Ethernet's over IPv4: some firewalls drop a SYN that
/// announces none.
const LARGEST: u16 = 1460;
/// Bytes that could be sent to us at once; nothing will be.
const WINDOW: u16 = 64_240;

/// A SYN, with its checksum. None: the addresses are of different families.
pub(super) fn syn(from: SocketAddr, to: SocketAddr, number: u32) -> Option<Vec<u8>> {
    let mut header = TcpHeader::new(from.port(), to.port(), number, WINDOW);
    header.syn = true;
    header
        .set_options(&[TcpOptionElement::MaximumSegmentSize(LARGEST)])
        .ok()?;
    let sum = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), &[])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), &[])
        }
        _ => return None,
    };
    header.checksum = sum.ok()?;
    Some(header.to_bytes().to_vec())
}

/// The ports of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where it comes from.
    pub from: u16,
    /// Where it goes.
    pub to: u16,
}

/// What a server said to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The server's port, and the one that was asked from.
    pub(super) ports: Ports,
    /// The sequence number of the SYN.
    pub(super) number: u32,
    /// A SYN of its own; else a reset.
    pub(super) accepted: bool,
}

/// Reads a segment. None: it answers no SYN (RFC 9293, section 3.10.7.3).
pub(super) fn answer(segment: &[u8]) -> Option<Answer> {
    let header = TcpHeaderSlice::from_slice(segment).ok()?;
    (header.ack() && (header.rst() || header.syn())).then(|| Answer {
        ports: Ports {
            from: header.source_port(),
            to: header.destination_port(),
        },
        number: header.acknowledgment_number().wrapping_sub(1),
        accepted: !header.rst(),
    })
}

/// Reads what an ICMP message repeats of a SYN, eight bytes at least (RFC 792): its ports, and its sequence
/// number.
pub(super) fn repeated(segment: &[u8]) -> Option<(Ports, u32)> {
    let (&[a, b, c, d, ref number @ ..], _) = segment.split_first_chunk::<8>()?;
    let ports = Ports {
        from: u16::from_be_bytes([a, b]),
        to: u16::from_be_bytes([c, d]),
    };
    Some((ports, u32::from_be_bytes(*number)))
}

/// What follows the header of an IPv4 packet.
pub(super) fn past_ipv4(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first().filter(|first| *first >> 4 == 4)?;
    packet.get(usize::from(first & 0xf) * 4..)
}

#[cfg(test)]
mod tests {
    use lvs_common::checksum::Sum;
    use proptest::prelude::*;

    use super::*;

    const PORTS: Ports = Ports { from: 4711, to: 80 };

    #[test]
    fn a_syn_has_its_checksum() {
        for [from, to] in [
            ["10.0.0.1:4711", "10.0.0.2:80"],
            ["[fd00::1]:4711", "[fd00::2]:80"],
        ] {
            let [from, to]: [SocketAddr; 2] = [from, to].map(|text| text.parse().unwrap());
            let syn = syn(from, to, 7).unwrap();
            let addresses = [from, to].map(|end| match end.ip() {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            });
            let length = u32::try_from(syn.len()).unwrap().to_be_bytes();
            // The pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1), in an order of its own.
            let all = [
                &addresses[0][..],
                &addresses[1],
                &length,
                &[0, 0, 0, 6],
                &syn,
            ]
            .concat();
            let sum = all
                .as_chunks()
                .0
                .iter()
                .fold(Sum::default(), |sum, word| sum.add(*word));
            assert_eq!(
                sum.checksum(),
                [0, 0],
                "RFC 1071: with the checksum the sum is nothing"
            );
            assert_eq!(repeated(&syn), Some((PORTS, 7)));
            assert_eq!(answer(&syn), None, "a SYN answers nothing");
        }
    }

    #[test]
    fn a_syn_of_the_servers_and_a_reset_are_answers() {
        let mut header = TcpHeader::new(80, 4711, 1, 1);
        header.ack = true;
        header.acknowledgment_number = 0;
        assert_eq!(answer(&header.to_bytes()), None, "an acknowledgement alone");
        let said = |accepted| Answer {
            ports: Ports { from: 80, to: 4711 },
            number: u32::MAX,
            accepted,
        };
        header.syn = true;
        assert_eq!(answer(&header.to_bytes()), Some(said(true)));
        (header.syn, header.rst) = (false, true);
        assert_eq!(answer(&header.to_bytes()), Some(said(false)));
        header.ack = false;
        assert_eq!(
            answer(&header.to_bytes()),
            None,
            "a reset of nobody knows what"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            answer(&bytes);
            repeated(&bytes);
            past_ipv4(&bytes);
        }
    }
}
