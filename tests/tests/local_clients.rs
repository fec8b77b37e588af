//! Clients on the director itself reach its virtual services.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::{Direct, Nat, Tunnel};
use lvs_api::model::{Family, Method, Protocol};
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::director::{every_service, server_name, service, service_name};
use lvs_tests::lab::{Arms, Lab, RealServer, available};
use lvs_tests::{eventually, pairs};

const ON: &[&str] = &["--local-clients"];
const PATIENCE: Duration = Duration::from_secs(5);

/// A lab whose director forwards by these lines, for clients of its own, too.
fn lab(lines: &str) -> Option<Lab> {
    if !available() {
        return None;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    lab.director.start_configured_with(lines, ON).unwrap();
    Some(lab)
}

fn virtual_service(family: Family, method: Method) -> SocketAddr {
    SocketAddr::new(virtual_address(family, method), RealServer::PORT)
}

/// Connects from the director.
fn connect(lab: &Lab, to: SocketAddr) -> io::Result<TcpStream> {
    let director = lab.director.namespace();
    director
        .enter(|| TcpStream::connect_timeout(&to, PATIENCE))
        .unwrap()
}

/// A socket on the director.
fn udp_socket(lab: &Lab, address: IpAddr) -> UdpSocket {
    let director = lab.director.namespace();
    let socket = director
        .enter(|| UdpSocket::bind((address, 0)))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a datagram without connecting; the server that answered, and the address that the answer came from.
fn ask(socket: &UdpSocket, to: SocketAddr) -> (String, SocketAddr) {
    let mut buffer = [0; 64];
    socket.send_to(b"hello", to).unwrap();
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]);
    (answer.split_whitespace().next().unwrap().to_owned(), from)
}

/// How often each server answered.
fn tally(names: Vec<String>) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts.into_values().collect()
}

/// The connections, and the packets from clients, that the listing counts for a service.
fn counted(lab: &Lab, service: &str) -> (String, String) {
    let listing = lab.director.lvsadm("-Ln --stats --exact").unwrap();
    let line = listing.lines().find(|line| line.contains(service));
    let line = line.unwrap_or_else(|| panic!("{service}: {listing}"));
    let words: Vec<_> = line.split_whitespace().collect();
    (words[2].to_owned(), words[3].to_owned())
}

/// The links that are pinned.
fn links(lab: &Lab) -> usize {
    let pins = std::fs::read_dir(lab.director.pins()).unwrap();
    pins.filter(|pin| {
        let name = pin.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("cgroup-")
    })
    .count()
}

#[test]
fn a_client_on_the_director_is_balanced_by_every_method() {
    let Some(lab) = lab(&every_service()) else {
        return;
    };
    let local = lab.local_client();
    for (family, method) in pairs(FAMILIES, METHODS) {
        let to = virtual_service(family, method);
        let names = local.get_many(to.ip(), 9).unwrap();
        assert_eq!(tally(names), [3, 3, 3], "{method:?} over {family:?}");
        assert_eq!(
            counted(&lab, &format!("TCP  {to}")),
            ("9".to_owned(), "0".to_owned()),
            "{method:?} over {family:?}"
        );
        let connected: Vec<_> = (0..3).map(|_| local.ask(to, "hello").unwrap()).collect();
        assert_eq!(tally(connected), [1, 1, 1], "{method:?} over {family:?}");
    }
}

#[test]
fn sockets_see_the_virtual_address() {
    let Some(lab) = lab(&every_service()) else {
        return;
    };
    for family in FAMILIES {
        let to = virtual_service(family, Nat);
        assert_eq!(connect(&lab, to).unwrap().peer_addr().unwrap(), to);

        let any = match family {
            Ipv4 => IpAddr::from([0; 4]),
            Ipv6 => IpAddr::from([0_u16; 8]),
        };
        let sockets = [(); 3].map(|()| udp_socket(&lab, any));
        let answers = sockets.each_ref().map(|socket| ask(socket, to));
        assert!(answers.iter().all(|(_, from)| *from == to), "{answers:?}");
        assert_eq!(tally(answers.map(|(name, _)| name).to_vec()), [1, 1, 1]);
        // Each goes on with its own server.
        let one = ask(&sockets[0], to);
        assert_eq!(
            [(); 3].map(|()| ask(&sockets[0], to)),
            [(); 3].map(|()| one.clone())
        );
    }
    // A socket of both families, as many runtimes make them.
    let IpAddr::V4(address) = virtual_address(Ipv4, Direct) else {
        panic!("an IPv4 address");
    };
    let mapped = SocketAddr::new(address.to_ipv6_mapped().into(), RealServer::PORT);
    assert_eq!(connect(&lab, mapped).unwrap().peer_addr().unwrap(), mapped);
    let (_, from) = ask(&udp_socket(&lab, IpAddr::from([0_u16; 8])), mapped);
    assert_eq!(from, mapped);
}

#[test]
fn a_server_that_is_quiesced_gets_no_local_client_and_none_left_refuses_it() {
    let lines = [Direct, Nat, Tunnel].map(|method| {
        let scheduler = if method == Nat { "wlc" } else { "wrr" };
        service(Protocol::Tcp, Ipv4, method, scheduler)
    });
    let Some(lab) = lab(&lines.concat()) else {
        return;
    };
    let weigh = |method, number, weight| {
        let service = service_name(Protocol::Tcp, Ipv4, method);
        let server = server_name(Ipv4, number);
        let flag = lvs_tests::lab::director::method_flag(method);
        let line = format!("-e {service} {server} {flag} -w {weight}");
        lab.director.lvsadm(&line).unwrap();
    };
    for method in METHODS {
        weigh(method, 1, 0);
        weigh(method, 2, 0);
        let to = virtual_address(Ipv4, method);
        let names = lab.local_client().get_many(to, 4).unwrap();
        assert_eq!(names, ["server3"; 4], "{method:?}");
        weigh(method, 3, 0);
        let refused = connect(&lab, virtual_service(Ipv4, method)).expect_err("no server");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{method:?}");
    }
}

#[test]
fn a_persistent_service_sends_all_local_clients_to_one_server() {
    let Some(lab) = lab(&service(Protocol::Tcp, Ipv4, Direct, "rr -p 300")) else {
        return;
    };
    let to = virtual_address(Ipv4, Direct);
    let names = lab.local_client().get_many(to, 6).unwrap();
    assert_eq!(tally(names), [6]);
}

#[test]
fn sockets_of_another_network_namespace_are_left_alone() {
    let Some(lab) = lab(&every_service()) else {
        return;
    };
    // Their packets come by an interface, and are counted.
    let to = virtual_service(Ipv4, Direct);
    lab.client.get_many(to.ip(), 3).unwrap();
    let (connections, packets) = counted(&lab, &format!("TCP  {to}"));
    assert_eq!(connections, "3");
    assert_ne!(packets, "0");
}

#[test]
fn local_clients_are_served_while_the_daemon_is_gone_and_until_a_start_without_them() {
    let Some(lab) = lab(&every_service()) else {
        return;
    };
    let to = virtual_service(Ipv4, Nat);
    let socket = udp_socket(&lab, Ipv4Addr::UNSPECIFIED.into());
    let (name, _) = ask(&socket, to);
    lab.director.kill();
    connect(&lab, to).unwrap();
    lab.director.start_with(ON).unwrap();
    // What it found goes on: the socket's server, and the address that it sees.
    assert_eq!(ask(&socket, to), (name, to));
    connect(&lab, to).unwrap();
    assert_eq!(links(&lab), 8);

    lab.director.restart().unwrap();
    assert_eq!(links(&lab), 0);
    // The kernel frees a link a moment after its last pin.
    let gone = || connect(&lab, to).is_err();
    assert!(eventually(PATIENCE * 4, gone), "clients are served still");
}

#[test]
fn a_cgroup_that_is_none_is_refused_at_the_start() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    for (option, reason) in [
        ("--local-clients=/proc", "/proc is no cgroup of version 2"),
        ("--local-clients=/nowhere", "/nowhere"),
    ] {
        let mut command = lab.director.command(&[option]);
        let output = lab.director.namespace().output(&mut command).unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(reason), "{said}");
        let pins = Path::new(lab.director.pins()).join("config");
        assert!(!pins.exists(), "something was left");
    }
}

#[test]
fn only_processes_of_the_cgroup_are_clients() {
    if !available() {
        return;
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split_whitespace());
    let root = mounts
        .find_map(|mut words| {
            let point = words.nth(1)?;
            (words.next()? == "cgroup2").then_some(point)
        })
        .expect("a cgroup2 file system");
    let folder = Path::new(root).join(format!("lvs-story-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let option = format!("--local-clients={}", folder.display());
    let lines = service(Protocol::Tcp, Ipv4, Nat, "rr");
    let started = lab.director.start_configured_with(&lines, &[&option]);
    let to = virtual_service(Ipv4, Nat);
    let outside = started.as_ref().map(|()| connect(&lab, to).is_err());
    let inside = std::process::Command::new("sh")
        .args(["-c", "echo $$ >$1/cgroup.procs && exec nsenter --net=$2 curl --silent --max-time 5 --noproxy '*' $3"])
        .args(["sh".as_ref(), folder.as_os_str()])
        .arg(lab.director.namespace().path())
        .arg(format!("http://{to}/"))
        .output();
    lab.director.kill();
    std::fs::remove_dir(&folder).unwrap();
    assert!(outside.unwrap(), "a process outside is served");
    let inside = inside.unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(said.starts_with("server"), "{said} {inside:?}");
}
