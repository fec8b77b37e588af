//! Probes in a network namespace, where a server can be silent, and be away.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lvs_health::check::{Check, Kind, Path};
use lvs_health::outcome::Outcome;
use lvs_health::prober::Prober;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use socket2::{Domain, Protocol, Socket, Type};

/// Runs a test in a network namespace that is its own and ends with it.
fn apart<F: AsyncFnOnce() + Send + 'static>(test: F) {
    if !Uid::effective().is_root() {
        assert!(env::var_os("CI").is_none(), "network namespaces need root");
        eprintln!("skipped: network namespaces need root");
        return;
    }
    // Network namespaces belong to threads.
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set dev lo up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

fn set(name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// The outcome of a connection.
async fn connect(target: SocketAddr, timeout: Duration) -> Outcome {
    Prober::default().run(&connection(target, timeout)).await
}

fn connection(target: SocketAddr, timeout: Duration) -> Check {
    Check {
        kind: Kind::Connect,
        target,
        path: Path::Own,
        source: None,
        user: None,
        connect_timeout: timeout,
        timeout,
    }
}

async fn ping(address: &str, timeout: Duration) -> Outcome {
    let target = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
    let check = Check {
        kind: Kind::Ping { attempts: 2 },
        ..connection(target, timeout)
    };
    Prober::default().run(&check).await
}

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_echo_request_is_answered_over_either_socket() {
    apart(async || {
        // Nobody's group at first, as a kernel has it by default, then everybody's.
        for range in ["1 0", "0 2147483647"] {
            set("ipv4/ping_group_range", range);
            for address in ["127.0.0.1", "::1"] {
                let outcome = ping(address, PATIENCE).await;
                assert!(outcome.good, "{}", outcome.text);
                let begin = format!("echo reply from {address} after ");
                assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
            }
        }
    });
}

#[test]
fn a_machine_that_does_not_answer_pings_is_down() {
    apart(async || {
        set("ipv4/icmp_echo_ignore_all", "1");
        set("ipv6/icmp/echo_ignore_all", "1");
        for address in ["127.0.0.1", "::1"] {
            let outcome = ping(address, Duration::from_millis(200)).await;
            assert!(!outcome.good && !outcome.inconclusive, "{}", outcome.text);
            assert_eq!(
                outcome.text,
                format!("no echo reply from {address} in 200 ms")
            );
        }
    });
}

#[test]
fn a_machine_that_cannot_be_reached_is_down() {
    apart(async || {
        ip("route add unreachable 192.0.2.0/24");
        ip("route add unreachable 2001:db8::/32");
        for address in ["192.0.2.1", "2001:db8::1"] {
            let outcome = ping(address, PATIENCE).await;
            assert!(!outcome.good && !outcome.inconclusive, "{}", outcome.text);
            let begin = format!("no echo reply from {address} after ");
            assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
            assert!(
                outcome.text.ends_with(": no route to host"),
                "{}",
                outcome.text
            );

            let target = SocketAddr::new(address.parse().unwrap(), 80);
            no_route(&connect(target, PATIENCE).await, target);
        }
    });
}

fn no_route(outcome: &Outcome, target: SocketAddr) {
    let text = &outcome.text;
    let begin = format!("no connection to {target} after ");
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.ends_with(": no route to host"), "{text}");
    assert!(!outcome.inconclusive, "{text}");
}

#[test]
fn a_machine_that_is_away_is_down_as_soon_as_nobody_answers_for_it() {
    apart(async || {
        add_silent_machine();
        ip("address add 2001:db8::1/64 dev quiet nodad");
        for family in ["ipv4", "ipv6"] {
            set(&format!("{family}/neigh/quiet/mcast_solicit"), "1");
            set(&format!("{family}/neigh/quiet/retrans_time_ms"), "50");
        }
        for address in ["192.0.2.3", "2001:db8::3"] {
            let target = SocketAddr::new(address.parse().unwrap(), 80);
            no_route(&connect(target, PATIENCE).await, target);
        }
    });
}

#[test]
fn a_connection_comes_from_the_address_that_it_is_told() {
    apart(async || {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let seen = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
        let seen: UdpSocket = seen.into();
        for source in ["127.0.0.9", "127.0.0.1"] {
            let check = Check {
                source: Some(source.parse().unwrap()),
                ..connection(server, PATIENCE)
            };
            let outcome = Prober::default().run(&check).await;
            assert!(outcome.good, "{}", outcome.text);
            // The first of each connection is the SYN, the second its answer.
            let mut packet = [0; 100];
            let mut sources = Vec::new();
            seen.set_nonblocking(true).unwrap();
            while let Ok((length, from)) = seen.recv_from(&mut packet) {
                // Behind a header of 20 bytes: a SYN alone.
                if length > 33 && packet[33] == 2 {
                    sources.push(from.ip().to_string());
                }
            }
            assert_eq!(sources, [source]);
        }
        // To be sent nowhere, from an address that is there: that is not the director's fault.
        ip("route replace blackhole 192.0.2.0/24");
        let check = Check {
            source: Some("127.0.0.9".parse().unwrap()),
            ..connection("192.0.2.1:80".parse().unwrap(), PATIENCE)
        };
        let outcome = Prober::default().run(&check).await;
        assert!(!outcome.good && !outcome.inconclusive, "{}", outcome.text);
    });
}

#[test]
fn a_route_that_changes_takes_the_address_along() {
    apart(async || {
        let _listener = tokio::net::TcpListener::bind("0.0.0.0:80").await.unwrap();
        let server = "198.51.100.9:80".parse().unwrap();
        for address in ["198.51.100.7/32", "198.51.100.8/32", "198.51.100.9/32"] {
            ip(&format!("address add {address} dev lo"));
        }
        let route = "route replace table local local 198.51.100.9 dev lo src";
        ip(&format!("{route} 198.51.100.7"));
        let outcome = connect(server, PATIENCE).await;
        assert!(outcome.good, "{}", outcome.text);
        ip(&format!("{route} 198.51.100.8"));
        ip("address delete 198.51.100.7/32 dev lo");
        let outcome = connect(server, PATIENCE).await;
        assert!(outcome.good, "{}", outcome.text);
    });
}

/// A link whose other end answers nothing, and a neighbour there: 192.0.2.2.
fn add_silent_machine() {
    ip("link add dev quiet type veth peer name silent");
    ip("link set dev quiet up");
    ip("link set dev silent up");
    ip("address add 192.0.2.1/24 dev quiet");
    ip("neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev quiet nud permanent");
}

#[test]
fn a_machine_that_is_silent_is_down_when_the_time_is_over() {
    apart(async || {
        add_silent_machine();
        let timeout = Duration::from_millis(200);
        let outcome = ping("192.0.2.2", timeout).await;
        assert_eq!(outcome.text, "no echo reply from 192.0.2.2 in 200 ms");
        let target = "192.0.2.2:80".parse().unwrap();
        let outcome = connect(target, timeout).await;
        assert_eq!(outcome.text, "no connection to 192.0.2.2:80 in 200 ms");
        assert!(!outcome.inconclusive);
    });
}

#[test]
fn a_hundred_probes_that_hang_delay_no_other() {
    apart(async || {
        add_silent_machine();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let silent = "192.0.2.2:80".parse().unwrap();
        let longest = Duration::from_mins(2);
        let (hung, well) = (connection(silent, longest), connection(server, longest));
        let prober = Prober::default();
        let mut hanging: FuturesUnordered<_> = (0..100).map(|_| prober.run(&hung)).collect();
        for _ in 0..10 {
            // One thread, all at once.
            let others: FuturesUnordered<_> = (0..100).map(|_| prober.run(&well)).collect();
            tokio::select! {
                Some(outcome) = hanging.next() => panic!("{}", outcome.text),
                outcomes = others.collect::<Vec<_>>() => {
                    assert!(outcomes.iter().all(|outcome| outcome.good), "{outcomes:?}");
                }
            }
        }
        assert_eq!(hanging.len(), 100);
    });
}

#[test]
fn a_probe_that_waits_takes_little_memory() {
    let check = connection("127.0.0.1:1".parse().unwrap(), PATIENCE);
    let prober = Prober::default();
    let size = size_of_val(&prober.run(&check));
    assert!(size <= 2048, "{size} bytes");
}
