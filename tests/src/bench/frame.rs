//! The frames of the bench: 80 bytes, TCP and UDP checksums of no consequence (the director updates them, nobody
//! checks them).

use lvs_common::abi::BENCH_FRAME;
use lvs_common::checksum::Sum;

/// Virtual address, IPv4.
pub const VIRTUAL4: [u8; 4] = [192, 0, 2, 1];
/// Real server, IPv4.
pub const SERVER4: [u8; 4] = [10, 1, 1, 1];
/// Virtual address, IPv6.
pub const VIRTUAL6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Real server, IPv6.
pub const SERVER6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Client's network, IPv6; the last four bytes are the flow's.
const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The director's Ethernet address.
pub const DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The router's Ethernet address: the source of the clients' frames.
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Port of the virtual service and of the real server.
pub const PORT: u16 = 80;

/// The direction of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// From a client to the virtual address.
    Server,
    /// From a real server to a client.
    Client,
    /// Between hosts unknown to the director.
    Elsewhere,
}

/// The payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A TCP segment with these flags.
    Tcp(u8),
    /// A UDP datagram.
    Udp,
}

/// TCP's SYN.
pub const SYN: u8 = 0x02;
/// TCP's ACK.
pub const ACK: u8 = 0x10;

/// A frame and where its flow is written: offset of the address' last four bytes.
pub fn frame(ipv6: bool, towards: Towards, payload: Payload) -> ([u8; BENCH_FRAME], u32) {
    let mut frame = [0; BENCH_FRAME];
    frame[..6].copy_from_slice(&DIRECTOR);
    frame[6..12].copy_from_slice(&ROUTER);
    let protocol = if payload == Payload::Udp { 17 } else { 6 };
    let length = if payload == Payload::Udp { 8 } else { 20 };
    let transport = if ipv6 { 54 } else { 34 };
    if ipv6 {
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[14] = 0x60;
        frame[19] = length;
        frame[20] = protocol;
        frame[21] = 64;
        let (source, destination) = match towards {
            Towards::Server => (CLIENT6, VIRTUAL6),
            Towards::Client => (SERVER6, CLIENT6),
            Towards::Elsewhere => (CLIENT6, CLIENT6),
        };
        frame[22..38].copy_from_slice(&source);
        frame[38..54].copy_from_slice(&destination);
    } else {
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[17] = 20 + length;
        frame[22] = 64;
        frame[23] = protocol;
        let (source, destination) = match towards {
            Towards::Server => ([0; 4], VIRTUAL4),
            Towards::Client => (SERVER4, [0; 4]),
            Towards::Elsewhere => ([0; 4], [198, 51, 100, 7]),
        };
        frame[26..30].copy_from_slice(&source);
        frame[30..34].copy_from_slice(&destination);
        // The generator adds the client's address to it: who begins something is heard only with a right one.
        let header: [u8; 20] = std::array::from_fn(|at| frame[14 + at]);
        let words = header.as_chunks::<4>().0.iter();
        let checksum = words.fold(Sum::default(), |sum, word| sum.add(*word));
        frame[24..26].copy_from_slice(&checksum.checksum());
    }
    let port = PORT.to_be_bytes();
    let at = if towards == Towards::Client {
        transport
    } else {
        transport + 2
    };
    frame[at..at + 2].copy_from_slice(&port);
    match payload {
        Payload::Tcp(flags) => {
            frame[transport + 12] = 0x50;
            frame[transport + 13] = flags;
        }
        Payload::Udp => frame[transport + 5] = length,
    }
    let address_at = match (ipv6, towards) {
        (false, Towards::Client) => 30,
        (false, _) => 26,
        (true, Towards::Client) => 50,
        (true, _) => 34,
    };
    (frame, address_at)
}
