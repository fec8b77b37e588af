//! Replies of real servers behind NAT go where the kernel's routes lead.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lvs_api::model::{Family, Method, Protocol};
use lvs_dataplane::kernel::PacketSocket;
use lvs_dataplane::neighbour::RouteChanges;
use lvs_tests::eventually;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::lab::addresses::{
    self, FAMILIES, client, host_length, router_front, virtual_address,
};
use lvs_tests::lab::director::{service, service_name};
use lvs_tests::lab::{Arms, Host, Lab, Namespace};
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Port of the services that the stories make; their servers listen there, too.
const PORT: u16 = 7_777;
/// TCP flags.
const RST: u8 = 0x04;
const FIN: u8 = 0x11;

/// A client's address behind routers.
fn far(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => [10, 50, 0, 1].into(),
        Family::Ipv6 => "fd00:50::1".parse().unwrap(),
    }
}

/// A NAT service of the first real server for each family.
fn lines() -> String {
    let mut lines = String::new();
    for family in FAMILIES {
        let to = SocketAddr::new(virtual_address(family, Method::Nat), PORT);
        let server = SocketAddr::new(addresses::server(family, 1), PORT);
        writeln!(lines, "-A -t {to} -s rr\n-a -t {to} -r {server} -m").unwrap();
    }
    lines
}

/// A connection with both its ends.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    /// Has the client connect to the service from this address.
    fn open(lab: &Lab, family: Family, from: IpAddr) -> Self {
        let server = lab.servers[0].namespace();
        let listener = server
            .enter(|| TcpListener::bind(SocketAddr::new(addresses::server(family, 1), PORT)))
            .unwrap()
            .unwrap();
        let to = SocketAddr::new(virtual_address(family, Method::Nat), PORT);
        let client = lab
            .namespace(Host::Client)
            .enter(|| connect(from, to))
            .unwrap()
            .unwrap();
        let (server, _) = listener.accept().unwrap();
        Self { client, server }
    }

    /// Has the server speak without being asked; how long it took until the client heard it.
    fn push(&mut self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        self.server.write_all(b"news").unwrap();
        self.client.set_read_timeout(Some(limit)).unwrap();
        let mut heard = [0; 4];
        self.client.read_exact(&mut heard).ok()?;
        Some(start.elapsed())
    }
}

fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(5))?;
    Ok(socket.into())
}

/// A lab whose client has another address, which the director reaches by the router at first.
fn with_far_client() -> Option<Lab> {
    let lab = Lab::for_story(Arms::Two, &lines())?;
    let (network, director) = (lab.namespace(Host::Network), lab.director.namespace());
    for family in FAMILIES {
        let (far, length) = (far(family), host_length(family));
        let added = format!("addr add {far}/{length} dev lo\n");
        lab.namespace(Host::Client).ip(&added).unwrap();
        let route = format!("route add {far}/{length} via ");
        network.ip(&format!("{route}{}\n", client(family))).unwrap();
        director
            .ip(&format!("{route}{}\n", router_front(family)))
            .unwrap();
    }
    Some(lab)
}

#[test]
fn a_replaced_router_is_followed_within_a_second_while_the_client_is_silent() {
    let Some(lab) = with_far_client() else { return };
    for family in FAMILIES {
        let mut connection = Connection::open(&lab, family, far(family));
        connection
            .push(Duration::from_secs(5))
            .expect("by the router");
        // The first router forwards nothing any more, and another one takes its place: the client itself.
        let (network, sysctl) = (lab.namespace(Host::Network), forwarding(family));
        network.sysctl(&[(sysctl, "0")]).unwrap();
        let replaced = format!(
            "route replace {}/{} via {}\n",
            far(family),
            host_length(family),
            client(family)
        );
        lab.director.namespace().ip(&replaced).unwrap();
        let took = connection.push(Duration::from_secs(1));
        println!("{family:?}: the first reply by the new route took {took:?}");
        assert!(took.is_some(), "no reply within a second over {family:?}");
        network.sysctl(&[(sysctl, "1")]).unwrap();
    }
}

const fn forwarding(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4/ip_forward",
        Family::Ipv6 => "ipv6/conf/all/forwarding",
    }
}

#[test]
fn a_router_that_takes_over_the_address_of_another_is_followed() {
    let Some(lab) = with_far_client() else { return };
    let network = lab.namespace(Host::Network);
    for family in FAMILIES {
        let mut connection = Connection::open(&lab, family, far(family));
        connection
            .push(Duration::from_secs(5))
            .expect("by the router");
        let (router, length) = (router_front(family), addresses::prefix_length(family));
        network
            .ip(&format!("addr del {router}/{length} dev bridge-front\n"))
            .unwrap();
        lab.namespace(Host::Client)
            .ip(&format!("addr add {router}/{length} dev eth0\n"))
            .unwrap();
        // As routers do that take over an address: they tell their neighbours.
        let mac = mac(&lab.namespace(Host::Client), "eth0");
        let told = format!("neigh replace {router} lladdr {mac} dev front nud reachable\n");
        lab.director.namespace().ip(&told).unwrap();
        let took = connection.push(Duration::from_secs(1));
        assert!(took.is_some(), "no reply within a second over {family:?}");
    }
}

/// The kernel asks whoever it sends to itself again after a while. The program's frames it does not see.
#[test]
fn a_router_that_silently_has_another_ethernet_address_is_followed() {
    let Some(lab) = with_far_client() else { return };
    let (network, director) = (lab.namespace(Host::Network), lab.director.namespace());
    // One that no port has: a bridge takes those of its ports for its own as well.
    network
        .ip("link set bridge-front address 02:00:00:00:aa:00\n")
        .unwrap();
    director.ip("neigh flush dev front\n").unwrap();
    for (family, folder) in FAMILIES.into_iter().zip(["ipv4", "ipv6"]) {
        let name = |setting| format!("{folder}/neigh/front/{setting}");
        for (setting, value) in [
            ("base_reachable_time_ms", "1000"),
            ("delay_first_probe_time", "1"),
            ("retrans_time_ms", "200"),
        ] {
            director.sysctl(&[(&name(setting), value)]).unwrap();
        }
        let mut connection = Connection::open(&lab, family, far(family));
        connection
            .push(Duration::from_secs(5))
            .expect("by the router");
        let mac = match family {
            Family::Ipv4 => "02:00:00:00:aa:04",
            Family::Ipv6 => "02:00:00:00:aa:06",
        };
        network
            .ip(&format!("link set bridge-front address {mac}\n"))
            .unwrap();
        let took = connection.push(Duration::from_secs(30));
        println!("{family:?}: the first reply to the new address took {took:?}");
        assert!(took.is_some(), "still the old address over {family:?}");
    }
}

/// What is read from files is read at once, not when its turn comes.
#[test]
fn settings_of_interfaces_are_announced() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let director = lab.director.namespace();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let open = move || {
        let _inside = handle.enter();
        RouteChanges::open()
    };
    let mut changes = director.enter(open).unwrap().unwrap();
    let mut next = || {
        let limit = Duration::from_secs(20);
        runtime.block_on(async { timeout(limit, changes.next()).await })
    };
    // Something may have changed before.
    next().unwrap().unwrap();
    for setting in [
        "ipv4/conf/front/rp_filter",
        "ipv4/conf/front/forwarding",
        "ipv6/conf/front/forwarding",
    ] {
        let path = format!("/proc/sys/net/{setting}");
        let read = || std::fs::read_to_string(&path).unwrap();
        let other = match director.enter(read).unwrap().trim() {
            "0" => "1",
            _ => "0",
        };
        director.sysctl(&[(setting, other)]).unwrap();
        // Neighbours and addresses change, too.
        while !next().expect(setting).unwrap().settings {}
    }
}

#[test]
fn a_rule_for_the_virtual_address_chooses_the_uplink() {
    let Some(lab) = with_far_client() else { return };
    for family in FAMILIES {
        let vip = virtual_address(family, Method::Nat);
        let (far, length) = (far(family), host_length(family));
        let rules = format!(
            "route add {far}/{length} via {} dev front table 200\nrule add from {vip} table 200\n",
            client(family)
        );
        // The way that everything else takes leads nowhere.
        let network = lab.namespace(Host::Network);
        network.sysctl(&[(forwarding(family), "0")]).unwrap();
        lab.director.namespace().ip_family(family, &rules).unwrap();
        let mut connection = Connection::open(&lab, family, far);
        let took = connection.push(Duration::from_secs(1));
        assert!(took.is_some(), "no reply within a second over {family:?}");
        network.sysctl(&[(forwarding(family), "1")]).unwrap();
    }
}

#[test]
fn a_router_that_is_not_known_yet_is_found() {
    let Some(lab) = with_far_client() else { return };
    for family in FAMILIES {
        let mut connection = Connection::open(&lab, family, far(family));
        let forgotten = format!("neigh del {} dev front\n", router_front(family));
        lab.director.namespace().ip(&forgotten).unwrap();
        let took = connection.push(Duration::from_secs(3));
        println!("{family:?}: {took:?} until the router was found");
        assert!(took.is_some(), "the router is not found over {family:?}");
    }
}

#[test]
fn a_director_that_forwards_nothing_else_answers_all_the_same() {
    if !lvs_tests::lab::available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    for family in FAMILIES {
        lab.director
            .namespace()
            .sysctl(&[(forwarding(family), "0")])
            .unwrap();
    }
    let services = FAMILIES.map(|family| service(Protocol::Tcp, family, Method::Nat, "rr"));
    lab.director.start_configured(&services.concat()).unwrap();
    for family in FAMILIES {
        let address = virtual_address(family, Method::Nat);
        let answered = eventually(Duration::from_secs(10), || lab.client.get(address).is_ok());
        assert!(
            answered,
            "{}",
            service_name(Protocol::Tcp, family, Method::Nat)
        );
    }
}

/// The Ethernet address of an interface.
fn mac(namespace: &Namespace, interface: &str) -> String {
    let shown = namespace
        .run("ip", &["-oneline", "link", "show", "dev", interface])
        .unwrap();
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "link/ether");
    words.next().unwrap_or_default().to_owned()
}

/// A wire to listen to, and to send whatever frames by.
struct Wire {
    runtime: Runtime,
    socket: PacketSocket,
}

impl Wire {
    fn open(namespace: &Namespace, interface: &str) -> Self {
        const EVERYTHING: u16 = 3;
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let open = move || {
            let _inside = handle.enter();
            let index = nix::net::if_::if_nametoindex(interface)?;
            PacketSocket::open(index, EVERYTHING, &[])
        };
        let socket = namespace.enter(open).unwrap().unwrap();
        Self { runtime, socket }
    }

    /// Sends a frame; where the queue is full, none.
    fn send(&self, packet: &Packet) {
        drop(self.socket.send(&packet.frame()));
    }

    /// Frames that came from this address since the last call.
    fn heard(&self, from: IpAddr) -> u32 {
        let mut heard = 0;
        let mut frame = [0; 2_048];
        let waiting = Duration::from_millis(1);
        self.runtime.block_on(async {
            while let Ok(Ok(length)) = timeout(waiting, self.socket.receive(&mut frame)).await {
                heard += u32::from(comes_from(&frame[..length], from));
            }
        });
        heard
    }
}

#[test]
fn whoever_spoofs_a_clients_packets_gets_no_reply_and_stops_nothing() {
    let Some(lab) = Lab::for_story(Arms::Two, &lines()) else {
        return;
    };
    let stranger = lab.namespace(Host::Network);
    let director = lab.director.namespace();
    stranger
        .ip(&format!(
            "link add third address 02:00:00:00:03:02 type veth peer name third netns {}\nlink set third up\n",
            director.name()
        ))
        .unwrap();
    director
        .ip("link set third address 02:00:00:00:03:01 up\n")
        .unwrap();
    stranger
        .run("ethtool", &["-K", "third", "gro", "on"])
        .unwrap();
    lab.director.kill();
    let interfaces = [
        "--interface",
        "front",
        "--interface",
        "back",
        "--interface",
        "third",
    ];
    lab.director.start_on(&interfaces).unwrap();
    for strict in ["0", "1"] {
        for interface in ["all", "front", "back", "third"] {
            let name = format!("ipv4/conf/{interface}/rp_filter");
            director.sysctl(&[(name.as_str(), strict)]).unwrap();
        }
        for family in FAMILIES {
            let (vip, from) = (virtual_address(family, Method::Nat), client(family));
            let mut connection = Connection::open(&lab, family, from);
            let port = connection.client.local_addr().unwrap().port();
            // The settings are read once a second.
            std::thread::sleep(Duration::from_millis(1_200));
            let wire = Wire::open(&stranger, "third");
            let (mut sent, mut stolen) = (0, 0);
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                for _ in 0..100 {
                    sent += 1;
                    let content = Content::Tcp {
                        ports: [port, PORT],
                        flags: 0x10,
                        data: vec![0; 4],
                    };
                    let spoofed = Packet {
                        to: [2, 0, 0, 0, 3, 1],
                        from: [2, 0, 0, 0, 3, 2],
                        ..Packet::new(from, vip, content)
                    };
                    wire.send(&spoofed);
                }
                let took = connection.push(Duration::from_secs(2));
                assert!(took.is_some(), "{family:?}: the connection stalls");
                stolen += wire.heard(vip);
            }
            for flags in [RST, FIN] {
                let content = Content::Tcp {
                    ports: [port, PORT],
                    flags,
                    data: Vec::new(),
                };
                wire.send(&Packet {
                    to: [2, 0, 0, 0, 3, 1],
                    from: [2, 0, 0, 0, 3, 2],
                    ..Packet::new(from, vip, content)
                });
            }
            // The server's socket judges by the sequence numbers, the director by the way.
            assert!(connection.push(Duration::from_secs(2)).is_some());
            let listed = lab.director.lvsadm("-Lnc").unwrap();
            let ended = listed.lines().filter(|line| {
                line.contains(&format!(":{port} ")) && !line.contains("ESTABLISHED")
            });
            assert_eq!(ended.count(), 0, "{listed}");
            println!(
                "{family:?}, rp_filter {strict}: {sent} spoofed, {stolen} replies to the stranger"
            );
            assert_eq!(stolen, 0, "{family:?}, rp_filter {strict}");
        }
    }
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    assert!(verdicts.contains("drop-rp-filter"), "{verdicts}");
}

#[test]
fn rp_filter_takes_clients_by_every_next_hop_of_equal_cost() {
    let Some(lab) = Lab::for_story(Arms::Two, &lines()) else {
        return;
    };
    let network = lab.namespace(Host::Network);
    let director = lab.director.namespace();
    network
        .ip(&format!(
            "link add third address 02:00:00:00:03:02 type veth peer name third netns {}\nlink set third up\n",
            director.name()
        ))
        .unwrap();
    let router = router_front(Family::Ipv4);
    director
        .ip(&format!(
            "link set third address 02:00:00:00:03:01 up\n\
             addr add 203.0.113.1/24 dev third\n\
             neigh add 203.0.113.2 lladdr 02:00:00:00:03:02 dev third\n\
             route replace default nexthop via {router} dev front nexthop via 203.0.113.2 dev third\n"
        ))
        .unwrap();
    director
        .sysctl(&[("ipv4/conf/all/rp_filter", "1")])
        .unwrap();
    // It finds the interfaces of both next hops.
    lab.director.kill();
    lab.director.start_on(&[]).unwrap();
    let vip = virtual_address(Family::Ipv4, Method::Nat);
    let wire = Wire::open(&network, "third");
    let begin = |from: [u8; 4]| {
        let content = Content::Tcp {
            ports: [40_000, PORT],
            flags: 0x02,
            data: Vec::new(),
        };
        wire.send(&Packet {
            to: [2, 0, 0, 0, 3, 1],
            from: [2, 0, 0, 0, 3, 2],
            ..Packet::new(from.into(), vip, content)
        });
    };
    let begun = |prefix: &str| {
        let listed = lab.director.lvsadm("-Lnc").unwrap();
        let listed = listed.lines();
        listed.filter(|line| line.contains(prefix)).count()
    };
    // Half of the ways back are by the other next hop. The routes are read once a second.
    let all_begin = || {
        for last in 1..=40 {
            begin([10, 50, 0, last]);
        }
        begun(" 10.50.0.") == 40
    };
    assert!(eventually(Duration::from_secs(20), all_begin));
    // A host of the network in front sends nothing by the other interface.
    for last in 1..=40 {
        let [first, second, third, _] = match client(Family::Ipv4) {
            IpAddr::V4(client) => client.octets(),
            IpAddr::V6(_) => unreachable!("of IPv4"),
        };
        begin([first, second, third, 100 + last]);
    }
    begin([10, 50, 0, 41]);
    let one_more = || begun(" 10.50.0.") == 41;
    assert!(eventually(Duration::from_secs(5), one_more));
    assert_eq!(begun(":40000"), 41);
}

/// True if a frame's packet has this source.
fn comes_from(frame: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => frame.get(26..30) == Some(&address.octets()),
        IpAddr::V6(address) => frame.get(22..38) == Some(&address.octets()),
    }
}
