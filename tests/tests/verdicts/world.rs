//! The services that the rows are about, and the check of one row.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use lvs_common::verdict::Reason;
use lvs_tests::frames::{Content, Packet, difference};
use lvs_tests::object::{Action, DIRECTOR, INTERFACE, Object, mac};
use lvs_tests::pairs;
use parking_lot::{Mutex, MutexGuard};

use crate::BUFFERS;

/// How packets reach the real server of a service, and by which name the rows tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Direct = 1,
    Nat = 2,
    Tunnel = 3,
    /// Tunnel in packets of the other family.
    OtherTunnel = 4,
}

pub(crate) const METHODS: [Method; 4] = [
    Method::Direct,
    Method::Nat,
    Method::Tunnel,
    Method::OtherTunnel,
];

impl Method {
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Direct => Reason::Direct,
            Self::Nat => Reason::Nat,
            Self::Tunnel | Self::OtherTunnel => Reason::Tunnel,
        }
    }
}

/// Both families, as IP version numbers.
pub(crate) const FAMILIES: [u8; 2] = [4, 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// TCP flags.
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// Port of all services, and that of the real servers behind NAT.
pub(crate) const PORT: u16 = 80;
pub(crate) const NAT_PORT: u16 = 8080;

pub(crate) fn address(family: u8, network: u8, host: u8) -> IpAddr {
    match family {
        4 => Ipv4Addr::new(10, network, 0, host).into(),
        _ => Ipv6Addr::new(0xfd00 + u16::from(network), 0, 0, 0, 0, 0, 0, host.into()).into(),
    }
}

pub(crate) fn client(family: u8) -> IpAddr {
    address(family, 1, 200)
}

pub(crate) fn virtual_address(family: u8, method: Method) -> IpAddr {
    address(family, 9, method as u8)
}

pub(crate) fn server(family: u8, method: Method) -> IpAddr {
    let family = if method == Method::OtherTunnel {
        10 - family
    } else {
        family
    };
    address(family, 2, 10 + method as u8)
}

/// Address and port as `ipvsadm` takes them.
pub(crate) fn name(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn lines() -> String {
    let mut lines = String::new();
    for (family, method) in pairs(FAMILIES, METHODS) {
        for flag in ["-t", "-u", "--sctp-service"] {
            let service = name(virtual_address(family, method), PORT);
            let (port, how) = match method {
                Method::Direct => (PORT, "-g"),
                Method::Nat => (NAT_PORT, "-m"),
                Method::Tunnel | Method::OtherTunnel => (PORT, "-i"),
            };
            let server = name(server(family, method), port);
            let _ = writeln!(lines, "-A {flag} {service} -s rr");
            let _ = writeln!(lines, "-a {flag} {service} -r {server} {how}");
        }
    }
    lines
}

/// [`Object::load`] for the program that the rows are about.
pub(crate) fn load_object(entries: u32, lines: &str) -> Option<Object> {
    if BUFFERS {
        Object::load_tc(entries, lines)
    } else {
        Object::load(entries, lines)
    }
}

/// The program with a service of each protocol, family and method. One row at a time: each is
/// counted.
pub(crate) fn world() -> Option<MutexGuard<'static, Object>> {
    static WORLD: OnceLock<Option<Mutex<Object>>> = OnceLock::new();
    let world = WORLD.get_or_init(|| {
        let object = load_object(4_096, &lines())?;
        object.know_vlans(&[&[0x0005], &[0x0064, 0x0007]]);
        Some(Mutex::new(object))
    });
    Some(world.as_ref()?.lock())
}

/// A client's port that no row has used yet.
pub(crate) fn fresh_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The first packet of a connection, with an odd number of bytes of data if the protocol allows it.
pub(crate) fn opening(protocol: Protocol) -> Content {
    let ports = [fresh_port(), PORT];
    match protocol {
        Protocol::Tcp => Content::Tcp {
            ports,
            flags: SYN,
            data: Vec::new(),
        },
        Protocol::Udp => Content::Udp {
            ports,
            checksum: true,
            data: b"What time is it?!".to_vec(),
        },
        Protocol::Sctp => Content::Sctp {
            ports,
            chunk: 1,
            data: vec![7; 16],
        },
    }
}

/// A client's packet to a virtual address.
pub(crate) fn request(family: u8, method: Method, content: Content) -> Packet {
    Packet::new(client(family), virtual_address(family, method), content)
}

/// A packet one hop further, in a frame to a real server.
pub(crate) fn onwards(packet: &Packet, server: IpAddr) -> Packet {
    Packet {
        to: mac(server),
        from: DIRECTOR,
        tags: Vec::new(),
        hops: packet.hops - 1,
        ..packet.clone()
    }
}

/// The packet that a real server receives for a client's packet.
pub(crate) fn forwarded(packet: &Packet, family: u8, method: Method) -> Packet {
    let server = server(family, method);
    let moved = onwards(packet, server);
    match method {
        Method::Direct => moved,
        Method::Nat => {
            let port = match &packet.content {
                Content::Tcp { ports, .. }
                | Content::ServerReset { ports }
                | Content::Udp { ports, .. }
                | Content::Sctp { ports, .. } => ports[0],
                _ => 0,
            };
            let content = moved.content.clone().with_ports([port, NAT_PORT]);
            Packet {
                destination: server,
                content,
                ..moved
            }
        }
        Method::Tunnel | Method::OtherTunnel => tunnelled(moved, server),
    }
}

/// The packet that carries another one.
pub(crate) fn tunnelled(inner: Packet, server: IpAddr) -> Packet {
    let outer = if server.is_ipv4() {
        address(4, 2, 1)
    } else {
        address(6, 2, 1)
    };
    Packet {
        to: inner.to,
        from: inner.from,
        hops: inner.hops,
        class: inner.class,
        dont_fragment: inner.dont_fragment,
        ..Packet::new(outer, server, Content::Packet(Box::new(inner)))
    }
}

/// The expected fate of a frame.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Out by the interface it came by, looking like this.
    Tx(Vec<u8>),
    /// Out by another interface, looking like this.
    Redirect(Vec<u8>),
    /// To the kernel, unchanged.
    Pass,
    Drop,
}

impl Fate {
    pub(crate) fn tx(packet: &Packet) -> Self {
        Self::Tx(packet.frame())
    }
}

/// Checks one row.
#[track_caller]
pub(crate) fn check(object: &Object, sentence: &str, frame: &[u8], reason: Reason, fate: Fate) {
    let before = object.verdicts();
    let end = object.run(INTERFACE, frame).unwrap();
    let after = object.verdicts();
    let counted: Vec<(Reason, u64)> = Reason::ALL
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (before, after))| before != after)
        .map(|(reason, (before, after))| (*reason, after - before))
        .collect();
    assert_eq!(counted, [(reason, 1)], "{sentence}: {end:?}");
    let (action, expected) = match fate {
        Fate::Tx(frame) | Fate::Redirect(frame) if BUFFERS => {
            (Action::Tx, Some(without_outer_tag(frame)))
        }
        Fate::Tx(frame) => (Action::Tx, Some(frame)),
        Fate::Redirect(frame) => (Action::Redirect, Some(frame)),
        Fate::Pass => (Action::Pass, Some(frame.to_vec())),
        Fate::Drop => (Action::Drop, None),
    };
    assert_eq!(action, end.action, "{sentence}");
    let Some(mut expected) = expected else { return };
    take_identification(&mut expected, &end.frame);
    assert!(
        expected == end.frame,
        "{sentence}: {}",
        difference(&expected, &end.frame)
    );
}

/// A frame as it is in a socket buffer that leaves.
fn without_outer_tag(mut frame: Vec<u8>) -> Vec<u8> {
    if matches!(frame.get(12..14), Some([0x81, 0x00] | [0x88, 0xa8])) {
        frame.drain(12..16);
    }
    frame
}

/// An outer IPv4 header may carry any identification (RFC 6864), and its checksum follows.
fn take_identification(expected: &mut [u8], found: &[u8]) {
    let tunnel = expected.len() == found.len()
        && expected.get(12..14) == Some(&[8, 0])
        && matches!(expected.get(23), Some(4 | 41));
    if !tunnel {
        return;
    }
    expected[18..20].copy_from_slice(&found[18..20]);
    expected[24..26].copy_from_slice(&[0, 0]);
    let sum: u32 = expected[14..34]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum >> 16) + (sum & 0xffff));
    expected[24..26].copy_from_slice(&sum.to_be_bytes()[2..]);
}
