//! The source that real servers behind NAT see: another port where two services share a server, and addresses of the
//! director's by full NAT.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, director_back, server, virtual_address};
use lvs_tests::lab::traffic::Idle;
use lvs_tests::lab::{Arms, Lab, Namespace, Pair, RealServer};
use socket2::{Domain, Protocol, Socket, Type};

/// A second port of the virtual address.
const OTHER: u16 = 81;

/// Two virtual services of one family on the first real server.
fn two_services(family: Family, options: &str) -> String {
    let address = virtual_address(family, Method::Nat);
    let real = SocketAddr::new(server(family, 1), RealServer::PORT);
    [RealServer::PORT, OTHER]
        .map(|port| {
            let service = SocketAddr::new(address, port);
            format!("-A -t {service} -s rr\n-a -t {service} -r {real} -m{options}\n")
        })
        .concat()
}

/// Connects from a port of the client's choice.
fn connect(to: SocketAddr, port: u16) -> std::io::Result<TcpStream> {
    let domain = Domain::for_address(to);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // No TIME_WAIT: the port is used again at once.
    socket.set_linger(Some(Duration::ZERO))?;
    let any: IpAddr = if to.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    socket.bind(&SocketAddr::new(any, port).into())?;
    // The client's own kernel may not be done with the connection before: then no packet leaves.
    let mut result = Ok(());
    let free = eventually(Duration::from_secs(1), || {
        result = socket.connect_timeout(&to.into(), Duration::from_secs(5));
        !matches!(&result, Err(error) if error.kind() == ErrorKind::AddrNotAvailable)
    });
    if !free {
        return Err(ErrorKind::AddrNotAvailable.into());
    }
    result?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket.into())
}

/// Asks over a connection that stays open.
fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut bytes = [0; 1024];
    while !answer.ends_with(b"server1\n") && !answer.ends_with(b"server1") {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&bytes[..read]);
    }
    Ok(())
}

#[test]
fn one_client_port_is_served_by_two_services_on_one_server() {
    let lines = FAMILIES.map(|family| two_services(family, "")).concat();
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for family in FAMILIES {
        let address = virtual_address(family, Method::Nat);
        let services = [RealServer::PORT, OTHER].map(|port| SocketAddr::new(address, port));
        let failed = lab.client.namespace().enter(|| {
            let mut failed = Vec::new();
            let mut note = |what: &str, result: std::io::Result<()>| {
                failed.extend(result.err().map(|error| format!("{what}: {error}")));
            };
            // One after the other, in turns.
            for port in 41_000..41_020 {
                for to in services.iter().chain(&services) {
                    note(
                        "alone",
                        connect(*to, port).and_then(|mut stream| ask(&mut stream)),
                    );
                }
            }
            // At the same time.
            for port in 42_000..42_020 {
                let streams: Result<Vec<_>, _> =
                    services.iter().map(|to| connect(*to, port)).collect();
                match streams {
                    Err(error) => note("connect", Err(error)),
                    Ok(mut streams) => {
                        for _ in 0..3 {
                            for stream in &mut streams {
                                note("together", ask(stream));
                            }
                        }
                    }
                }
            }
            failed
        });
        assert_eq!(failed.unwrap(), Vec::<String>::new(), "{family:?}");
    }
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    assert!(!verdicts.contains("drop-no-source"), "{verdicts}");
    assert!(!verdicts.contains("drop-table-full"), "{verdicts}");
}

/// Runs wrk for three seconds; how many requests were answered, and how many failed.
fn wrk(namespace: &Namespace, to: SocketAddr) -> (String, std::process::Child) {
    let mut wrk = Command::new("wrk");
    wrk.args([
        "--threads",
        "1",
        "--timeout",
        "5",
        "--connections",
        "16",
        "--duration",
        "3s",
    ]);
    wrk.args(["--header", "Connection: close"]);
    let url = format!("http://{to}/");
    wrk.arg(&url).stdout(std::process::Stdio::piped());
    (url, namespace.spawn(&mut wrk).unwrap())
}

fn expect_none_failed((url, child): (String, std::process::Child)) {
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{url}: {report}");
    for error in ["Socket errors", "Non-2xx"] {
        assert!(!report.contains(error), "{url}: {report}");
    }
    let requests = report.lines().find(|line| line.contains("requests in"));
    println!("{url}: {}", requests.unwrap_or_default().trim());
}

#[test]
fn loads_on_two_services_with_the_same_few_client_ports_lose_nothing() {
    let Some(lab) = Lab::for_story(Arms::Two, &two_services(Family::Ipv4, "")) else {
        return;
    };
    let client = lab.client.namespace();
    // Ports are so few that both loads have most of them at the same time.
    let few = [
        ("ipv4/ip_local_port_range", "40000 44095"),
        ("ipv4/tcp_tw_reuse", "1"),
    ];
    client.sysctl(&few).unwrap();
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let loads = [RealServer::PORT, OTHER].map(|port| wrk(client, SocketAddr::new(address, port)));
    loads.into_iter().for_each(expect_none_failed);
}

/// An address on the real servers' own network, of the director.
fn near(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => "10.2.0.200".parse().unwrap(),
        Family::Ipv6 => "fd00:2::200".parse().unwrap(),
    }
}

#[test]
fn by_full_nat_clients_in_the_servers_network_are_served() {
    let mut lines = String::new();
    for family in FAMILIES {
        let service = SocketAddr::new(near(family), RealServer::PORT);
        let (first, second) = (server(family, 1), server(family, 2));
        // Two ports of one host, and another host. Each client has at most 28,232 ports, a third of them for each
        // server: so many connections, closed ones included, leave a third of a range free.
        let own = director_back(family);
        let pool = if family == Family::Ipv4 {
            own.to_string()
        } else {
            format!("[{own}]:2000-31999")
        };
        let _ = writeln!(lines, "-A -t {service} -s rr");
        for (real, snat) in [
            (SocketAddr::new(first, RealServer::PORT), "auto"),
            (
                SocketAddr::new(first, RealServer::MAPPED_PORT),
                pool.as_str(),
            ),
            (
                SocketAddr::new(second, RealServer::PORT),
                "auto:20000-49999",
            ),
        ] {
            let _ = writeln!(lines, "-a -t {service} -r {real} -m --snat {snat}");
        }
    }
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    for family in FAMILIES {
        let address = near(family);
        let length = if family == Family::Ipv4 { 32 } else { 128 };
        let line = format!("address add {address}/{length} dev back nodad\n");
        let line = if family == Family::Ipv4 {
            line.replace(" nodad", "")
        } else {
            line
        };
        lab.director.namespace().ip(&line).unwrap();
    }
    for line in lines.lines() {
        lab.director.lvsadm(line).unwrap();
    }
    // The first is a client of itself, the third only a client.
    for client in [&lab.servers[0], &lab.servers[2]] {
        for family in FAMILIES {
            let to = SocketAddr::new(near(family), RealServer::PORT);
            expect_none_failed(wrk(client.namespace(), to));
        }
    }
    let saved = lab.director.lvsadm("-S -n").unwrap();
    let mut said: Vec<_> = saved
        .lines()
        .filter(|line| line.contains("--snat"))
        .collect();
    said.sort_unstable();
    assert_eq!(said.len(), 6, "{saved}");
    assert!(said[0].ends_with("-m -w 1 --snat auto"), "{saved}");
    // What it found in its tables is what it was told.
    lab.director.kill();
    lab.director.start().unwrap();
    assert_eq!(lab.director.lvsadm("-S -n").unwrap(), saved);
    let to = SocketAddr::new(near(Family::Ipv4), RealServer::PORT);
    expect_none_failed(wrk(lab.servers[2].namespace(), to));
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    assert!(!verdicts.contains("drop-no-source"), "{verdicts}");
}

#[test]
fn sources_that_replies_would_not_find_are_refused_and_exhausted_ones_are_reported() {
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let service = SocketAddr::new(address, RealServer::PORT);
    let real = SocketAddr::new(server(Family::Ipv4, 1), RealServer::PORT);
    let Some(lab) = Lab::for_story(Arms::Two, &format!("-A -t {service} -s rr\n")) else {
        return;
    };
    for (options, reason) in [
        (
            "-m --snat 10.2.0.77",
            "10.2.0.77 is not an address of this director",
        ),
        ("-m --snat fd00:2::1", "address family"),
        ("-g --snat auto", "masquerading"),
        ("-m --snat 10.2.0.1:9-8", "the lower one first"),
    ] {
        let line = format!("-a -t {service} -r {real} {options}");
        let output = lab.director.try_lvsadm(&line).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(reason),
            "{options}: {said}"
        );
    }
    // Four ports for five connections.
    let line = format!("-a -t {service} -r {real} -m --snat 10.2.0.1:2000-2003");
    lab.director.lvsadm(&line).unwrap();
    let mut idle = Idle::open(lab.client.namespace(), address, 4).unwrap();
    let fifth = lab
        .client
        .namespace()
        .enter(|| TcpStream::connect_timeout(&service, Duration::from_secs(1)).map(drop));
    assert!(fifth.unwrap().is_err());
    assert_eq!(idle.speak(), Vec::<String>::new());
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    assert!(verdicts.contains("drop-no-source"), "{verdicts}");
    let told = "4 connections go from 10.2.0.1 to 10.2.0.11:80";
    let log = || fs::read_to_string(lab.director.log()).unwrap();
    let is_told = || log().contains("free source port") && log().contains(told);
    assert!(eventually(Duration::from_secs(20), is_told), "{}", log());
}

#[test]
fn a_server_in_the_network_of_its_virtual_address_is_warned_of() {
    let service = SocketAddr::new(near(Family::Ipv4), RealServer::PORT);
    let real = SocketAddr::new(server(Family::Ipv4, 1), RealServer::PORT);
    let lines = format!("-A -t {service} -s rr\n-a -t {service} -r {real} -m\n");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let log = fs::read_to_string(lab.director.log()).unwrap();
    assert!(
        log.contains("is in the same network as its virtual address"),
        "{log}"
    );
}

/// NAT to the first server, as seen from the address that the master holds on the servers' network.
fn held(family: Family) -> String {
    let service = SocketAddr::new(virtual_address(family, Method::Nat), RealServer::PORT);
    let real = SocketAddr::new(server(family, 1), RealServer::PORT);
    let source = director_back(family);
    format!("-A -t {service} -s rr\n-a -t {service} -r {real} -m --snat {source}\n")
}

#[test]
fn translated_connections_go_on_at_the_director_that_takes_over() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let mut lines = FAMILIES.map(held).concat();
    // Two services on one server, with clients' own addresses.
    let address = virtual_address(Family::Ipv4, Method::Direct);
    for port in [RealServer::PORT, OTHER] {
        let service = SocketAddr::new(address, port);
        let real = SocketAddr::new(server(Family::Ipv4, 1), RealServer::PORT);
        let _ = writeln!(lines, "-A -t {service} -s rr\n-a -t {service} -r {real} -m");
    }
    pair.start_linked(1, Role::Master, &lines).unwrap();
    pair.start_linked(2, Role::Backup, &lines).unwrap();
    let client = pair.client.namespace();
    let mut idle: Vec<_> = FAMILIES
        .map(|family| Idle::open(client, virtual_address(family, Method::Nat), 20).unwrap())
        .into();
    let mut collided = client
        .enter(|| {
            let services = [RealServer::PORT, OTHER].map(|port| SocketAddr::new(address, port));
            services.map(|to| {
                let mut stream = connect(to, 43_000).unwrap();
                ask(&mut stream).unwrap();
                stream
            })
        })
        .unwrap();
    pair.directors[0].lvsadm("sync wait --timeout 20s").unwrap();
    pair.directors[0].lvsadm("handover").unwrap();
    assert_eq!(pair.directors[1].lvsadm("role").unwrap(), "master\n");
    for idle in &mut idle {
        assert_eq!(idle.speak(), Vec::<String>::new());
    }
    for stream in &mut collided {
        ask(stream).unwrap();
    }
    // And back by a crash.
    pair.directors[1].lvsadm("sync wait --timeout 20s").unwrap();
    pair.crash(2).unwrap();
    pair.directors[0].lvsadm("role master").unwrap();
    for idle in &mut idle {
        assert_eq!(idle.speak(), Vec::<String>::new());
    }
    for stream in &mut collided {
        ask(stream).unwrap();
    }
}
