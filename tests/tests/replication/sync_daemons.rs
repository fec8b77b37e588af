//! The sync daemons of IPVS's protocol: their options, and messages that cannot be applied.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{IoSliceMut, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd as _;

use lvs_api::model::{Family, Method, Protocol};
use lvs_replication::ipvs::wire::{Engine, Flags, Message, Packer, SyncEntry, Version};
use lvs_tests::lab::addresses::{own_sync, server, virtual_address};
use lvs_tests::lab::director::{server_name, service_name};
use lvs_tests::lab::{Director, RealServer};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};

use super::world::{
    PATIENCE, SHORT, World, calls, connections, lines, lines_with_calls, listed, say, status, until,
};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
const PORT: u16 = 8848;
const MASTER: &str = "--start-daemon master --mcast-interface sync";
const BACKUP: &str = "--start-daemon backup --mcast-interface sync";

fn own(number: u8) -> Ipv4Addr {
    let IpAddr::V4(own) = own_sync(Family::Ipv4, number) else {
        unreachable!("an IPv4 address");
    };
    own
}

/// Connections of so many clients by each method and family, that IPVS would send.
fn talk(world: &World, each: usize) -> Vec<TcpStream> {
    let mut streams = world.connect(&SHORT, each);
    for stream in &mut streams {
        stream.write_all(b"GET").unwrap();
    }
    streams
}

/// A stranger's socket on the first director's network.
fn stranger(world: &World) -> UdpSocket {
    let make = || UdpSocket::bind(SocketAddrV4::new(own(1), 0)).unwrap();
    let socket = world.one().namespace().enter(make).unwrap();
    socket.connect(SocketAddrV4::new(GROUP, PORT)).unwrap();
    socket
}

/// A connection to the first server.
fn entry(client: u16) -> SyncEntry {
    let virtual_address = virtual_address(Family::Ipv4, Method::Direct);
    SyncEntry {
        protocol: 6,
        flags: Flags::of(lvs_common::abi::Method::Direct),
        state: 1,
        client: SocketAddr::new(Ipv4Addr::new(198, 51, 100, 7).into(), client),
        virtual_address: SocketAddr::new(virtual_address, RealServer::PORT),
        server: SocketAddr::new(server(Family::Ipv4, 1), RealServer::PORT),
        mark: 0,
        timeout: 900,
        sequences: None,
        engine: None,
    }
}

/// One message of them all.
fn message(all: &[SyncEntry]) -> Vec<u8> {
    let mut packer = Packer::new(Version::One, 0, 1472);
    assert!(all.iter().all(|synced| packer.push(synced) == Ok(None)));
    packer.flush().unwrap()
}

/// The counts of discarded entries by reason.
fn discarded(director: &Director) -> BTreeMap<String, u64> {
    let discarded = status(director).sync.received.discarded;
    discarded
        .into_iter()
        .map(|why| (why.name, why.count))
        .collect()
}

#[test]
fn a_sync_master_sends_each_connection_through_one_of_its_ports() {
    const PORTS: u16 = 4;
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines(), &["--sync-ports=4"]).unwrap();
    let sockets = listen(&world, PORT..PORT + PORTS);
    world.one().lvsadm(MASTER).unwrap();
    let streams = talk(&world, 20);

    let mut through: HashMap<SocketAddr, BTreeSet<usize>> = HashMap::new();
    until("all connections are sent", || {
        let mut buffer = [0; 2_048];
        for (port, socket) in sockets.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut buffer) {
                for entry in Message::parse(&buffer[..length]).unwrap().entries() {
                    through
                        .entry(entry.unwrap().client)
                        .or_default()
                        .insert(port);
                }
            }
        }
        through.len() == streams.len()
    });
    assert!(
        through.values().all(|ports| ports.len() == 1),
        "{through:?}"
    );
    let used: BTreeSet<_> = through.values().flatten().collect();
    assert_eq!(used.len(), usize::from(PORTS), "{through:?}");

    // A backup receives all of them, once its ports are free. The master begins with all its connections.
    let last = sockets.into_iter().next_back();
    world.two().lvsadm(BACKUP).unwrap();
    let problem = || status(world.two()).sync.daemons.remove(0).problem;
    until("a port in use is reported", || problem().is_some());
    drop(last);
    until("it is used", || problem().is_none());
    world.one().lvsadm("--stop-daemon master").unwrap();
    world.one().lvsadm(MASTER).unwrap();
    world.agree(streams.len());
}

/// Sockets for a master's messages at some ports of the group, on the second director's side.
fn listen(world: &World, ports: Range<u16>) -> Vec<UdpSocket> {
    let listen = |port| {
        let socket = UdpSocket::bind(SocketAddrV4::new(GROUP, port)).unwrap();
        socket.join_multicast_v4(&GROUP, &own(2)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let all = || ports.map(listen).collect();
    world.two().namespace().enter(all).unwrap()
}

#[test]
fn a_sync_master_follows_the_settings_of_net_ipv4_vs() {
    const PORTS: u16 = 2;
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines(), &[]).unwrap();
    let set = |setting: &str| world.one().lvsadm(&format!("--sysctl {setting}")).unwrap();
    for setting in [
        "sync_ports=2",
        "sync_sock_size=30000",
        "sync_threshold=1000,0",
    ] {
        set(setting);
    }
    let sockets = listen(&world, PORT..PORT + PORTS);
    world.one().lvsadm(MASTER).unwrap();
    let sizes = world.one().namespace().run("ss", &["-Huanm"]).unwrap();
    // The kernel doubles it for its own needs.
    assert!(sizes.contains("tb60000"), "{sizes}");

    let mut used = BTreeSet::new();
    let mut take = |times: &mut BTreeMap<SocketAddr, usize>| {
        let mut buffer = [0; 2_048];
        for (number, socket) in sockets.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut buffer) {
                used.insert(number);
                for entry in Message::parse(&buffer[..length]).unwrap().entries() {
                    *times.entry(entry.unwrap().client).or_default() += 1;
                }
            }
        }
    };
    // A master begins with all connections, so that these have to come later.
    until("the tables were looked at", || {
        status(world.one()).sync.sent.scans > 0
    });
    // `sync_threshold` is followed at once, by what is counted from then on.
    let early = talk(&world, 1);
    set("sync_threshold=3,50");
    let late = talk(&world, 5);
    let client = |stream: &TcpStream| stream.local_addr().unwrap();
    let mut times = BTreeMap::new();
    until("the late connections are sent", || {
        take(&mut times);
        let is_sent = |stream| times.contains_key(&client(stream));
        late.iter().all(is_sent)
    });
    assert_eq!(times.len(), late.len(), "{early:?}: {times:?}");

    world.one().lvsadm("--stop-daemon master").unwrap();
    set("sync_refresh_period=1");
    set("sync_retries=2");
    world.one().lvsadm(MASTER).unwrap();
    times.clear();
    until("all connections are sent, and repeated twice", || {
        take(&mut times);
        let is_repeated = |stream| times.get(&client(stream)).is_some_and(|&times| times >= 3);
        early.iter().chain(&late).all(is_repeated)
    });
    assert_eq!(used.len(), usize::from(PORTS));
}

/// Waits for a message; its time to live, who sent it, and its length.
fn receive(socket: &UdpSocket) -> (i32, Ipv4Addr, usize) {
    let mut buffer = [0; 8_192];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(libc::c_int);
    let flags = MsgFlags::empty();
    let received =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).unwrap();
    let ttl = received.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::Ipv4Ttl(ttl) => Some(ttl),
        _ => None,
    });
    (ttl.unwrap(), received.address.unwrap().ip(), received.bytes)
}

#[test]
fn a_sync_master_follows_its_options_and_ignores_its_own_messages() {
    let Some(world) = World::new() else {
        return;
    };
    // Small tables are sent in one turn.
    let options = ["--table4=4096", "--table6=4096"];
    world.pair.start(&lines(), &options).unwrap();
    let listen = || {
        let socket = UdpSocket::bind(SocketAddrV4::new(GROUP, PORT)).unwrap();
        socket.join_multicast_v4(&GROUP, &own(2)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        setsockopt(&socket, sockopt::Ipv4RecvTtl, &true).unwrap();
        socket
    };
    let socket = world.two().namespace().enter(listen).unwrap();
    let streams = talk(&world, 15);
    world.one().lvsadm(BACKUP).unwrap();
    // 30 connections in each family, of 36 and of 72 bytes.
    let default = [8 + 30 * 36 + 5 * 72, 8 + 20 * 72, 8 + 5 * 72];
    let long = [8 + 30 * 36 + 30 * 72];
    for (more, ttl, lengths) in [
        ("", 1, &default[..]),
        (" --mcast-ttl 3 --sync-maxlen 4000", 3, &long),
    ] {
        world.one().lvsadm(&format!("{MASTER}{more}")).unwrap();
        for &length in lengths {
            assert_eq!(receive(&socket), (ttl, own(1), length));
        }
        world.one().lvsadm("--stop-daemon master").unwrap();
    }
    drop(streams);
    let sync = status(world.one()).sync;
    assert_eq!(sync.sent.messages, 4);
    assert_eq!(sync.received.messages, 0);
}

#[test]
fn sync_persist_mode_sends_only_templates_of_persistent_services() {
    let Some(world) = World::new() else {
        return;
    };
    let persistent = virtual_address(Family::Ipv4, Method::Direct).to_string();
    let lines = lines().lines().fold(String::new(), |text, line| {
        let is_it = line.starts_with("-A ") && line.contains(&persistent);
        text + line + if is_it { " -p 300\n" } else { "\n" }
    });
    let options = ["--sync-persist-mode=1", "--sync-refresh=1s"];
    world.pair.start(&lines, &options).unwrap();
    // Over an IPv6 group, as well as any.
    let [master, backup] = [MASTER, BACKUP].map(|line| format!("{line} --mcast-group ff02::81"));
    world.two().lvsadm(&backup).unwrap();
    world.one().lvsadm(&master).unwrap();
    let streams = talk(&world, 2);
    let is_of_persistent = |line: &String| line.contains(&persistent);
    let is_template = |line: &String| line.split(' ').nth(2).is_some_and(|it| it.ends_with(":0"));
    let expected: BTreeSet<_> = connections(world.one())
        .into_iter()
        .filter(|line| is_template(line) || !is_of_persistent(line))
        .collect();
    assert!(expected.iter().any(is_template), "{expected:?}");
    // Two connections less, and a template more.
    assert_eq!(expected.len(), streams.len() - 2 + 1);
    until("templates and the others are sent", || {
        connections(world.two()) == expected
    });
    // A full resend adds no connection.
    let before = status(world.one()).sync.sent;
    world.one().lvsadm("--stop-daemon master").unwrap();
    world.one().lvsadm(&master).unwrap();
    until("all is sent again", || {
        let sent = status(world.one()).sync.sent;
        sent.scans > before.scans && sent.entries >= before.entries + expected.len() as u64
    });
    assert_eq!(connections(world.two()), expected);
    // As the kernel's file says.
    for (director, origin) in [(world.one(), "LOCAL"), (world.two(), "SYNC")] {
        let listing = director.lvsadm("--proc ip_vs_conn_sync").unwrap();
        let mut lines = listing.lines().skip(1);
        assert!(lines.all(|line| line.contains(origin)), "{listing}");
    }
    // The setting of that name takes precedence for the next master.
    world.one().lvsadm("--sysctl sync_persist_mode=0").unwrap();
    world.one().lvsadm("--stop-daemon master").unwrap();
    world.one().lvsadm(&master).unwrap();
    until("all connections are sent", || {
        connections(world.two()) == connections(world.one())
    });
}

#[test]
fn connections_of_a_firewall_mark_are_sent_with_the_mark() {
    let Some(world) = World::new() else {
        return;
    };
    let mut lines = "--set 0 2 0\n".to_owned();
    for (family, six) in [(Family::Ipv4, ""), (Family::Ipv6, " -6")] {
        let _ = writeln!(lines, "-A -f 5{six} -s rr -p 300");
        for number in 1..=2 {
            let server = server_name(family, number);
            let _ = writeln!(lines, "-a -f 5{six} {server} -g");
        }
        let service = service_name(Protocol::Tcp, family, Method::Direct);
        let _ = writeln!(lines, "--mark 5 {service}");
    }
    world.pair.start(&lines, &[]).unwrap();
    world.two().lvsadm(BACKUP).unwrap();
    world.one().lvsadm(MASTER).unwrap();
    let mut streams = world.connect(&[Method::Direct], 3);
    for stream in &mut streams {
        stream.write_all(b"GET").unwrap();
    }
    // And a template in each family.
    world.agree(streams.len() + 2);
    assert_eq!(discarded(world.two()), BTreeMap::new());
}

#[test]
fn connections_of_an_unknown_server_are_applied_once_it_is_added() {
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines(), &[]).unwrap();
    world.two().lvsadm("-C").unwrap();
    world.two().lvsadm(BACKUP).unwrap();
    world.one().lvsadm(MASTER).unwrap();
    let mut streams = talk(&world, 2);
    let sent = streams.len() as u64;
    let received = || status(world.two()).sync.received;
    until("all entries wait", || received().unbound == sent);
    assert_eq!(received().entries, 0);
    assert!(discarded(world.two())["no-service"] >= sent);
    // One ends meanwhile: its last state counts.
    drop(streams.pop());
    let lives = |(_, left): &(String, i64)| *left > 10;
    let live = || listed(world.one()).into_iter().filter(lives).count();
    until("its end is seen", || live() == streams.len());
    world.two().restore(&lines()).unwrap();
    world.agree(streams.len());
    assert_eq!(received().unbound, 0);
}

/// A call's template, of a service with the engine `sip` if it is UDP.
fn call(protocol: u8, id: &[u8]) -> SyncEntry {
    let template = entry(0);
    SyncEntry {
        protocol,
        flags: template.flags.and(Flags::TEMPLATE),
        engine: Engine::new(b"sip", id),
        timeout: 60,
        ..template
    }
}

/// The Call-IDs that a director lists.
fn ids(director: &Director) -> Vec<String> {
    calls(director).into_iter().map(|[id, _]| id).collect()
}

#[test]
fn a_call_is_received_and_sent_by_its_call_id() {
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines_with_calls(), &[]).unwrap();
    world.two().lvsadm(BACKUP).unwrap();
    let id = b"f81d4fae@198.51.100.7";
    stranger(&world).send(&message(&[call(17, id)])).unwrap();
    let id = String::from_utf8_lossy(id).into_owned();
    until("it is applied", || ids(world.two()) == [id.clone()]);
    assert_eq!(discarded(world.two()), BTreeMap::new());

    // A call at the first director, of three messages.
    world.one().lvsadm(MASTER).unwrap();
    say(&world, "own@example.org", 3);
    until("it is sent", || {
        ids(world.two()).iter().any(|id| id == "own@example.org")
    });
}

#[test]
fn an_entry_of_an_engine_that_its_service_lacks_is_skipped_and_the_rest_applied() {
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines(), &[]).unwrap();
    world.two().lvsadm(BACKUP).unwrap();
    let all = [entry(1), call(6, b"f81d4fae@198.51.100.7"), entry(3)];
    stranger(&world).send(&message(&all)).unwrap();
    until("the others are applied", || {
        status(world.two()).sync.received.entries == 2
    });
    let expected = BTreeMap::from([("engine".to_owned(), 1)]);
    assert_eq!(discarded(world.two()), expected);
    let clients = connections(world.two());
    let holds = |port: u16| {
        let client = format!(" 198.51.100.7:{port} ");
        clients.iter().any(|line| line.contains(&client))
    };
    assert_eq!([1, 0, 3].map(holds), [true, false, true], "{clients:?}");
    let report = world.two().lvsadm("sync status").unwrap();
    assert!(report.contains("discarded 1 times (engine)"), "{report}");
}

#[test]
fn messages_that_overflow_the_socket_buffer_are_counted() {
    const MESSAGES: u16 = 100;
    let Some(world) = World::new() else {
        return;
    };
    world.pair.start(&lines(), &[]).unwrap();
    for (options, is_small) in [(&[][..], false), (&["--sync-sock-size=8192"], true)] {
        world.two().kill();
        world
            .two()
            .start_configured_with(&lines(), options)
            .unwrap();
        if !is_small {
            world.two().lvsadm(BACKUP).unwrap();
        }
        let stranger = stranger(&world);
        world.two().freeze(true).unwrap();
        let all: Vec<_> = (1..=40).map(entry).collect();
        for _ in 0..MESSAGES {
            stranger.send(&message(&all)).unwrap();
        }
        world.two().freeze(false).unwrap();
        // With the next message the kernel says what became of those before.
        let received = || status(world.two()).sync.received;
        until("each message is applied or counted", || {
            stranger.send(&message(&all)).unwrap();
            let received = received();
            received.messages + received.overflowed > MESSAGES.into()
        });
        let overflowed = received().overflowed;
        assert_eq!(overflowed > 0, is_small, "{overflowed}");
    }
}

#[test]
fn connections_expire_between_two_directors_that_are_both_master_and_backup() {
    let Some(world) = World::new() else {
        return;
    };
    let lines = lines().replace("--set 0 2 0", "--set 6 2 0");
    let options = ["--sync-refresh=1s", "--sync-retries=3"];
    world.pair.start(&lines, &options).unwrap();
    world.two().lvsadm(BACKUP).unwrap();
    world.one().lvsadm(MASTER).unwrap();
    let streams = talk(&world, 1);
    world.agree(streams.len());
    // Now each has the same connections and could send them.
    world.one().lvsadm(BACKUP).unwrap();
    world.two().lvsadm(MASTER).unwrap();
    until("silent connections expire", || {
        listed(world.one()).is_empty() && listed(world.two()).is_empty()
    });
}
