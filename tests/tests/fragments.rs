//! Datagrams in fragments reach their server whole: in any order, and where the way to it is too small for them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use lvs_api::model::{Family, Method, Protocol};
use lvs_dataplane::kernel::PacketSocket;
use lvs_tests::frames::{Content, Fragment, Packet};
use lvs_tests::lab::addresses::{FAMILIES, client, server, virtual_address};
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Host, Lab};
use lvs_tests::{eventually, pairs};
use tokio::runtime::Builder;

/// Port of the services.
const PORT: u16 = 80;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// A service by each method, over both families.
fn lines(methods: &[Method]) -> String {
    let mut lines = String::new();
    for family in FAMILIES {
        for &method in methods {
            lines += &service(Protocol::Udp, family, method, "rr");
        }
    }
    lines
}

/// A lab whose director runs its programs at this place.
fn lab(arms: Arms, place: &str, methods: &[Method]) -> Option<Lab> {
    let lab = Lab::for_story(arms, &lines(methods))?;
    let status = lab.director.lvsadm("--status").unwrap();
    assert!(status.contains(place), "{status}");
    Some(lab)
}

fn verdict(lab: &Lab, name: &str) -> u64 {
    let shown = lab.director.lvsadm("--verdicts -X").unwrap();
    let row = shown.lines().find_map(|line| line.strip_prefix(name));
    let packets = row.and_then(|rest| rest.split_whitespace().next());
    packets
        .unwrap_or_else(|| panic!("{shown}"))
        .parse()
        .unwrap()
}

const fn family(of: IpAddr) -> Family {
    if of.is_ipv4() {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

/// A socket of the client, to talk with this address.
fn socket(lab: &Lab, to: IpAddr) -> UdpSocket {
    lab.namespace(Host::Client)
        .enter(|| UdpSocket::bind(SocketAddr::new(client(family(to)), 0)))
        .unwrap()
        .unwrap()
}

/// A socket of the client, and the frames by which a datagram of it comes to a service in two fragments.
fn in_two(lab: &Lab, to: IpAddr, identification: u32) -> (UdpSocket, [Vec<u8>; 2]) {
    let socket = socket(lab, to);
    let port = socket.local_addr().unwrap().port();
    let content = Content::Udp {
        ports: [port, PORT],
        checksum: true,
        data: vec![b'x'; 2_000],
    };
    (socket, two_frames(lab, to, identification, &content))
}

/// The frames by which this comes from the client to a service, in two fragments.
fn two_frames(lab: &Lab, to: IpAddr, identification: u32, content: &Content) -> [Vec<u8>; 2] {
    let interface = lab.director.interfaces()[0];
    let octets = lab.director.mac(interface);
    let octets = octets
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap());
    let part = |offset, length| {
        let packet = Packet {
            to: octets.clone().collect::<Vec<_>>().try_into().unwrap(),
            from: [2, 0, 0, 0, 0, 0xc],
            identification,
            fragment: Some(Fragment { offset, length }),
            ..Packet::new(client(family(to)), to, content.clone())
        };
        packet.frame()
    };
    [part(0, Some(1_000)), part(1_000, None)]
}

/// Sends frames from the client's interface, one after the other.
fn send(lab: &Lab, frames: &[&Vec<u8>]) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let open = move || {
        let _inside = handle.enter();
        let index = nix::net::if_::if_nametoindex("eth0")?;
        PacketSocket::open(index, 0x88b6, &[])
    };
    let socket = lab.namespace(Host::Client).enter(open).unwrap().unwrap();
    for frame in frames {
        socket.send(frame).unwrap();
    }
}

/// The answer to a datagram, with the name of the server.
fn answer(socket: &UdpSocket) -> Option<usize> {
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut buffer = vec![0; 65_536];
    socket.recv(&mut buffer).ok()
}

#[track_caller]
fn expect_in_any_order(lab: &Lab, methods: &[Method]) {
    let mut identification = 0x7000;
    for (family, &method) in pairs(FAMILIES, methods) {
        let to = virtual_address(family, method);
        // Frames that are made wait for nobody: everybody knows everybody before. What a container's neighbour sends
        // through a tunnel has no finished checksum.
        if method != Method::Tunnel || lab.is_prepared() {
            let known = || lab.client.ask((to, PORT).into(), "hello").is_ok();
            assert!(eventually(Duration::from_secs(20), known), "{to}");
        }
        for order in [[0, 1], [1, 0], [1, 0]] {
            identification += 1;
            let (socket, parts) = in_two(lab, to, identification);
            send(lab, &order.map(|part| &parts[part]));
            let answered = answer(&socket);
            let sentence = format!("{method:?} over {family:?}, fragments {order:?}");
            assert_eq!(answered, Some(2_000 + "server1 ".len()), "{sentence}");
        }
    }
    let swapped = 2 * (methods.len() as u64) * FAMILIES.len() as u64;
    assert_eq!(verdict(lab, "hold-fragment"), swapped);
}

#[test]
fn a_later_fragment_may_come_first_in_the_driver() {
    let methods = [Method::Direct, Method::Nat, Method::Tunnel];
    let Some(lab) = lab(Arms::Two, "native (", &methods) else {
        return;
    };
    expect_in_any_order(&lab, &methods);
}

#[test]
fn a_later_fragment_may_come_first_behind_the_driver() {
    let methods = [Method::Direct, Method::Nat, Method::Tunnel];
    let Some(lab) = lab(Arms::Container, " tc (", &methods) else {
        return;
    };
    expect_in_any_order(&lab, &methods);
}

/// The error is about a server's datagram to the client, of which it quotes enough to need two fragments.
#[test]
fn a_later_fragment_of_an_icmp_error_may_come_first() {
    let methods = [Method::Direct, Method::Nat];
    let Some(lab) = lab(Arms::Container, "tc (", &methods) else {
        return;
    };
    for (number, (family, method)) in (0x5000..).zip(pairs(FAMILIES, methods)) {
        let to = virtual_address(family, method);
        let socket = socket(&lab, to);
        socket.send_to(b"hello", (to, PORT)).unwrap();
        answer(&socket).expect("an answer");
        let ports = [PORT, socket.local_addr().unwrap().port()];
        let sent = Content::Udp {
            ports,
            checksum: true,
            data: vec![b'x'; 1_300],
        };
        let quoted = Packet::new(to, client(family), sent).frame();
        let (kind, code) = match family {
            Family::Ipv4 => (3, 4),
            Family::Ipv6 => (2, 0),
        };
        let error = Content::Icmp {
            kind,
            code,
            rest: 1_400,
            data: quoted[ETHERNET..].to_vec(),
        };
        let [first, second] = two_frames(&lab, to, number, &error);
        let before = ["forward-icmp", "hold-fragment"].map(|name| verdict(&lab, name));
        send(&lab, &[&second, &first]);
        let both = || verdict(&lab, "forward-icmp") == before[0] + 2;
        assert!(eventually(Duration::from_secs(20), both), "{to}");
        assert_eq!(verdict(&lab, "hold-fragment"), before[1] + 1, "{to}");
    }
}

/// Asks with datagrams that fill the client's link and may be fragmented.
#[track_caller]
fn expect_fragmented(lab: &Lab, methods: &[Method]) {
    let interface = lab.director.interfaces().last().unwrap();
    let mut routes = String::new();
    for number in 1..=Lab::SERVERS {
        let server = server(Family::Ipv4, number);
        writeln!(routes, "route replace {server}/32 dev {interface} mtu 1400").unwrap();
    }
    lab.director.namespace().ip(&routes).unwrap();
    let client = lab.namespace(Host::Client);
    client.sysctl(&[("ipv4/ip_no_pmtu_disc", "1")]).unwrap();
    for &method in methods {
        let to = SocketAddr::new(virtual_address(Family::Ipv4, method), PORT);
        let before = verdict(lab, "hold-too-big");
        let mut answered = Vec::new();
        // The routes may not be followed yet.
        let whole = eventually(Duration::from_secs(20), || {
            answered = ask_fragmentable(lab, to);
            answered == [1_472 + "server1 ".len(); 3] && verdict(lab, "hold-too-big") >= before + 3
        });
        assert!(whole, "{method:?}: {answered:?}");
    }
}

/// Three datagrams of a whole link's size without "don't fragment": the sizes of the answers.
fn ask_fragmentable(lab: &Lab, to: SocketAddr) -> Vec<usize> {
    let socket = lab
        .namespace(Host::Client)
        .enter(|| {
            let socket = UdpSocket::bind(SocketAddr::from(([0; 4], 0)))?;
            socket.connect(to)?;
            Ok::<_, std::io::Error>(socket)
        })
        .unwrap()
        .unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut buffer = vec![0; 65_536];
    let ask = |_| {
        socket.send(&[b'y'; 1_472]).ok()?;
        socket.recv(&mut buffer).ok()
    };
    (0..3).filter_map(ask).collect()
}

#[test]
fn a_datagram_that_is_too_big_is_fragmented_in_the_driver() {
    let methods = [Method::Direct, Method::Nat, Method::Tunnel];
    let Some(lab) = lab(Arms::Two, "native (", &methods) else {
        return;
    };
    expect_fragmented(&lab, &methods);
}

/// A container's neighbour leaves the checksum to the device that sends its datagram at last: none does.
#[test]
fn a_datagram_that_is_too_big_is_fragmented_behind_the_driver() {
    let methods = [Method::Direct, Method::Nat, Method::Tunnel];
    let Some(lab) = lab(Arms::Container, " tc (", &methods) else {
        return;
    };
    expect_fragmented(&lab, &methods);
}
