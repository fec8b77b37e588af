//! Probes in a network namespace, where a server can be silent, and be away.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lvs_userspace::health::check::{Check, Kind, Path};
use lvs_userspace::health::outcome::Outcome;
use lvs_userspace::health::probe::Prober;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;

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

async fn probe(kind: Kind, target: SocketAddr, timeout: Duration) -> Outcome {
    let check = Check {
        kind,
        target,
        path: Path::Own,
        source: None,
        connect_timeout: timeout,
        timeout,
    };
    Prober::default().run(&check).await
}

async fn ping(address: &str, timeout: Duration) -> Outcome {
    let target = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0);
    probe(Kind::Ping { attempts: 2 }, target, timeout).await
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
            let outcome = probe(Kind::Connect, target, PATIENCE).await;
            let begin = format!("no connection to {target} after ");
            assert!(outcome.text.starts_with(&begin), "{}", outcome.text);
            assert!(
                outcome.text.ends_with(": no route to host"),
                "{}",
                outcome.text
            );
        }
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
        let outcome = probe(Kind::Connect, target, timeout).await;
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
        let prober = Prober::default();
        let check = |target| Check {
            kind: Kind::Connect,
            target,
            path: Path::Own,
            source: None,
            connect_timeout: Duration::from_mins(2),
            timeout: Duration::from_mins(2),
        };
        let (hung, well) = (check(silent), check(server));
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
    let check = Check {
        kind: Kind::Connect,
        target: "127.0.0.1:1".parse().unwrap(),
        path: Path::Own,
        source: None,
        connect_timeout: PATIENCE,
        timeout: PATIENCE,
    };
    let prober = Prober::default();
    let size = size_of_val(&prober.run(&check));
    assert!(size <= 2048, "{size} bytes");
}
