//! Announcements, probes and claims of addresses as Ethernet frames.
//!
//! IPv4: ARP (RFC 826), with the announcements and probes of RFC 5227. IPv6: neighbour discovery (RFC 4861
//! section 7.2.6, and the probe of duplicate address detection, RFC 4862 section 5.4.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lvs_common::abi::Mac;
use lvs_common::checksum::Sum;

const BROADCAST: Mac = [0xff; 6];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet, IPv4, lengths of their addresses.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Shorter frames are filled up: not every driver does it.
const SHORTEST: usize = 60;
const ETHERNET: usize = 14;

/// The frames that announce an address at an Ethernet address.
///
/// For IPv4 they are a request and a reply, because some hosts listen to one kind only. For IPv6, `router` is
/// true if the holder forwards: a host that loses that flag is dropped from default routes.
pub(super) fn announcement(address: IpAddr, mac: Mac, router: bool) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(v4) => vec![
            arp(ARP_REQUEST, mac, v4, [0; 6], v4),
            arp(ARP_REPLY, mac, v4, mac, v4),
        ],
        IpAddr::V6(v6) => {
            // Override, and perhaps router; it answers nobody.
            let flags = 0x20 | if router { 0x80 } else { 0 };
            let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
            message.extend(v6.octets());
            // Target link-layer address, one unit of eight bytes.
            message.extend([2, 1]);
            message.extend(mac);
            vec![icmpv6(mac, v6, ALL_NODES, &message)]
        }
    }
}

/// A probe for an address. Another holder of it answers, and nobody else.
pub(super) fn probe(address: IpAddr, mac: Mac) -> Vec<u8> {
    match address {
        // Without a sender's address no cache is disturbed.
        IpAddr::V4(v4) => arp(ARP_REQUEST, mac, Ipv4Addr::UNSPECIFIED, [0; 6], v4),
        IpAddr::V6(v6) => {
            let mut message = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
            message.extend(v6.octets());
            icmpv6(mac, Ipv6Addr::UNSPECIFIED, solicited_node(v6), &message)
        }
    }
}

/// A host's claim of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) address: IpAddr,
    /// Source of the frame.
    pub(super) mac: Mac,
}

/// Parses the claim in a frame from the network.
pub(super) fn claim(frame: &[u8]) -> Option<Claim> {
    let mac = frame.get(6..12)?.try_into().ok()?;
    let body = frame.get(ETHERNET..)?;
    let address = match frame.get(12..ETHERNET)?.try_into().ok()? {
        ETHERTYPE_ARP => IpAddr::from(sender(body)?),
        ETHERTYPE_IPV6 => IpAddr::from(advertised(body)?),
        _ => return None,
    };
    Some(Claim { address, mac })
}

/// The sender's address in an ARP packet; a probe has none.
fn sender(body: &[u8]) -> Option<Ipv4Addr> {
    if body.get(..6)? != ARP_HEAD {
        return None;
    }
    let address: [u8; 4] = body.get(14..18)?.try_into().ok()?;
    let address = Ipv4Addr::from(address);
    (!address.is_unspecified()).then_some(address)
}

/// The target address of a neighbour advertisement.
fn advertised(body: &[u8]) -> Option<Ipv6Addr> {
    // RFC 4861 section 7.1.2: from this link, without an extension header before it.
    let (&next, &hop_limit) = (body.get(6)?, body.get(7)?);
    if next != ICMPV6 || hop_limit != 255 || body.get(40..42)? != [NEIGHBOUR_ADVERTISEMENT, 0] {
        return None;
    }
    let target: [u8; 16] = body.get(48..64)?.try_into().ok()?;
    Some(target.into())
}

fn arp(operation: u8, mac: Mac, sender: Ipv4Addr, asked: Mac, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend(ARP_HEAD);
    frame.extend([0, operation]);
    frame.extend(mac);
    frame.extend(sender.octets());
    frame.extend(asked);
    frame.extend(target.octets());
    frame.resize(SHORTEST, 0);
    frame
}

/// A message whose checksum is still zero, in a packet that may not leave the link.
fn icmpv6(mac: Mac, source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = destination.octets();
    let mut frame = ethernet([0x33, 0x33, a, b, c, d], mac, ETHERTYPE_IPV6);
    #[expect(clippy::cast_possible_truncation, reason = "32 bytes at most")]
    let length = message.len() as u8;
    frame.extend([0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    let words = message.chunks_exact(4);
    let sum = words
        .filter_map(|word| word.try_into().ok())
        .fold(Sum::default(), Sum::add)
        .add_wide(&source.octets())
        .add_wide(&destination.octets())
        .add([0, 0, 0, length])
        .add([0, 0, 0, ICMPV6]);
    frame.extend(message);
    let at = ETHERNET + 40 + 2;
    frame[at..at + 2].copy_from_slice(&sum.checksum());
    frame
}

fn ethernet(to: Mac, from: Mac, ethertype: [u8; 2]) -> Vec<u8> {
    [&to[..], &from, &ethertype].concat()
}

/// RFC 4291 section 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let mut group = [0; 16];
    group[..2].copy_from_slice(&[0xff, 0x02]);
    group[11..].copy_from_slice(&[0x01, 0xff, a, b, c]);
    group.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = [0x02, 0, 0, 0, 0, 0x0a];

    fn v4() -> IpAddr {
        "192.0.2.10".parse().unwrap()
    }

    fn v6() -> IpAddr {
        "2001:db8::1:203".parse().unwrap()
    }

    const fn by_us(address: IpAddr) -> Claim {
        Claim { address, mac: MAC }
    }

    #[test]
    fn an_ipv4_address_is_announced_as_request_and_as_reply() {
        let frames = announcement(v4(), MAC, true);
        assert_eq!(frames.len(), 2);
        for (frame, operation) in frames.iter().zip([1, 2]) {
            assert_eq!(frame.len(), 60);
            assert_eq!(frame[..6], BROADCAST);
            assert_eq!(frame[20..22], [0, operation]);
            assert_eq!(frame[22..28], MAC);
            assert_eq!(frame[28..32], [192, 0, 2, 10]);
            assert_eq!(frame[38..42], [192, 0, 2, 10]);
            assert_eq!(claim(frame), Some(by_us(v4())));
        }
    }

    #[test]
    fn an_ipv6_address_is_advertised_to_all_nodes() {
        for (router, flags) in [(true, 0xa0), (false, 0x20)] {
            let frames = announcement(v6(), MAC, router);
            let [frame] = frames.as_slice() else {
                panic!("one frame");
            };
            assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
            assert_eq!(frame[21], 255, "from this link");
            assert_eq!((frame[54], frame[58]), (136, flags));
            assert_eq!(frame[78..80], [2, 1]);
            assert_eq!(frame[80..86], MAC);
            assert_eq!(whole_sum(frame), 0xffff);
            assert_eq!(claim(frame), Some(by_us(v6())));
        }
    }

    #[test]
    fn a_probe_claims_nothing_and_asks_for_the_address() {
        let frame = probe(v4(), MAC);
        assert_eq!(frame[28..32], [0; 4]);
        assert_eq!(frame[38..42], [192, 0, 2, 10]);
        assert_eq!(claim(&frame), None);

        let frame = probe(v6(), MAC);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x01, 0x02, 0x03]);
        assert_eq!(frame[22..38], [0; 16]);
        assert_eq!(whole_sum(&frame), 0xffff);
        assert_eq!(claim(&frame), None);
    }

    proptest! {
        #[test]
        fn frames_of_any_kind_and_length_are_read(
            mut frame in prop::collection::vec(any::<u8>(), 0..100),
            arp: bool,
        ) {
            if let Some(kind) = frame.get_mut(12..14) {
                kind.copy_from_slice(if arp { &ETHERTYPE_ARP } else { &ETHERTYPE_IPV6 });
            }
            let _ = claim(&frame);
        }
    }

    /// Over the addresses, the message and what else the checksum covers.
    fn whole_sum(frame: &[u8]) -> u32 {
        let covered = [&frame[22..], &[0, frame[19]], &[0, ICMPV6]].concat();
        let words = covered.chunks_exact(2);
        let sum: u32 = words
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
            .sum();
        (sum & 0xffff) + (sum >> 16)
    }
}
