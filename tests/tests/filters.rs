//! Filters: lists of clients that may begin connections, and limits for each client.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::Family::{self, Ipv4};
use lvs_api::model::Method::{self, Direct, Nat};
use lvs_api::model::Protocol::{Tcp, Udp};
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, client, host_length, virtual_address};
use lvs_tests::lab::director::{service, service_name};
use lvs_tests::lab::{Arms, Lab};
use lvs_tests::pairs;

/// A virtual service as `lvsadm filter` names it.
fn name(protocol: &str, family: Family, method: Method) -> String {
    format!(
        "{protocol}:{}",
        SocketAddr::new(virtual_address(family, method), 80)
    )
}

/// Whether a TCP connection to an address can be made, without waiting for a second SYN.
fn connects(lab: &Lab, address: IpAddr) -> bool {
    connect(lab, address).is_some()
}

fn connect(lab: &Lab, address: IpAddr) -> Option<TcpStream> {
    let to = SocketAddr::new(address, 80);
    let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(400)).ok();
    lab.client.namespace().enter(connect).unwrap()
}

/// What a verdict counted so far.
fn verdict(lab: &Lab, name: &str) -> u64 {
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    let line = verdicts.lines().find(|line| line.contains(name));
    let number = line.and_then(|line| {
        line.split_whitespace()
            .find_map(|word| word.parse::<u64>().ok())
    });
    number.unwrap_or(0)
}

fn every_service() -> String {
    pairs(FAMILIES, [Direct, Nat])
        .map(|(family, method)| {
            service(Tcp, family, method, "rr") + &service(Udp, family, method, "rr")
        })
        .collect()
}

#[test]
fn lists_say_who_connects_by_every_family_and_method() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, [Direct, Nat]) {
        let (address, own) = (virtual_address(family, method), client(family));
        let host = format!("{own}/{}", host_length(family));
        let (all, other) = match family {
            Ipv4 => ("0.0.0.0/0", "198.51.100.0/24"),
            Family::Ipv6 => ("::/0", "2001:db8::/32"),
        };
        let service = name("tcp", family, method);
        for (options, admitted) in [
            (format!("--deny {host}"), false),
            (format!("--deny {all} --allow {host}"), true),
            (format!("--allow {all} --deny {host}"), false),
            (format!("--allow {other}"), false),
            (format!("--deny {other}"), true),
            (format!("--allow {host} --deny {host}"), false),
        ] {
            lab.director
                .lvsadm(&format!("filter set {service} {options}"))
                .unwrap();
            assert_eq!(connects(&lab, address), admitted, "{method:?} {options}");
        }
        // UDP has a service, and so a filter, of its own.
        let udp = SocketAddr::new(address, 80);
        assert!(lab.client.ask(udp, "hello").is_ok());
        let own_filter = name("udp", family, method);
        lab.director
            .lvsadm(&format!("filter set {own_filter} --deny {all}"))
            .unwrap();
        assert!(lab.client.ask(udp, "hello").is_err());
        for service in [service, own_filter] {
            lab.director
                .lvsadm(&format!("filter clear {service}"))
                .unwrap();
        }
        assert!(connects(&lab, address) && lab.client.ask(udp, "hello").is_ok());
    }
    assert!(verdict(&lab, "drop-denied") >= 16);
}

#[test]
fn a_filter_outlives_the_daemon_and_ends_no_connection() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let service = name("tcp", Ipv4, Direct);
    let kept = connect(&lab, address).expect("nobody is denied");
    lab.director
        .lvsadm(&format!(
            "filter set {service} --deny {} --open 9",
            client(Ipv4)
        ))
        .unwrap();
    let shown = lab.director.lvsadm("filter show --json").unwrap();
    lab.director.restart().unwrap();
    assert!(!connects(&lab, address));
    let after = lab.director.lvsadm("filter show --json").unwrap();
    let settings = |text: &str| {
        let end = text.find("\"status\"").unwrap();
        text[..end].to_owned()
    };
    assert_eq!(settings(&after), settings(&shown));
    // ipvsadm's edit of the service leaves its filter alone.
    let edit = service_name(Tcp, Ipv4, Direct);
    lab.director.lvsadm(&format!("-E {edit} -s wrr")).unwrap();
    assert!(!connects(&lab, address));
    let saved = lab.director.try_lvsadm("-S -n").unwrap();
    let warned = String::from_utf8_lossy(&saved.stderr).into_owned();
    assert!(warned.contains("filter"), "{warned}");
    let answer = lab.client.namespace().enter(|| ask(kept)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn ask(mut stream: TcpStream) -> String {
    use std::io::{Read as _, Write as _};
    let mut answer = vec![0; 12];
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let patience = Some(Duration::from_secs(5));
    let asked = stream
        .set_read_timeout(patience)
        .and_then(|()| stream.write_all(request))
        .and_then(|()| stream.read_exact(&mut answer));
    match asked {
        Ok(()) => String::from_utf8_lossy(&answer).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// 50,000 prefixes far apart, none of which has the client.
fn many_prefixes(seed: u32) -> String {
    let mut state = seed;
    let mut text = String::new();
    for _ in 0..50_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = state.to_be_bytes();
        let _ = writeln!(text, "{}.{b}.{c}.0/24", 100 + a % 100);
    }
    text
}

#[test]
fn fifty_thousand_prefixes_are_exchanged_under_traffic_without_a_wrong_verdict() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let (admitted, denied) = (virtual_address(Ipv4, Direct), virtual_address(Ipv4, Nat));
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let (open, closed) = (file("open"), file("closed"));
    fs::write(&open, many_prefixes(1)).unwrap();
    fs::write(&closed, many_prefixes(1) + "10.1.0.0/24\n").unwrap();
    let set = |method, file: &str| {
        let service = name("tcp", Ipv4, method);
        lab.director
            .lvsadm(&format!("filter set {service} --deny {file}"))
            .unwrap();
    };
    set(Direct, &open);
    set(Nat, &closed);
    let over = AtomicBool::new(false);
    let (good, wrong) = thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let (mut good, mut wrong) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    good += u32::from(connects(&lab, admitted));
                }
                wrong += u32::from(connects(&lab, denied));
            }
            (good, wrong)
        });
        for seed in 2..6 {
            fs::write(&open, many_prefixes(seed)).unwrap();
            fs::write(&closed, many_prefixes(seed) + "10.1.0.0/24\n").unwrap();
            lab.director.lvsadm("filter reload").unwrap();
            thread::sleep(Duration::from_millis(200));
        }
        over.store(true, Ordering::Relaxed);
        traffic.join().unwrap()
    });
    assert!(good >= 40 && good % 20 == 0, "{good} connections were made");
    assert_eq!(wrong, 0);
    let shown = lab.director.lvsadm("filter show").unwrap();
    assert!(shown.contains(&open) && shown.contains("50001"), "{shown}");
}

#[test]
fn a_file_with_errors_changes_nothing_and_names_its_lines() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let service = name("tcp", Ipv4, Direct);
    let path = lab.folder().join("deny");
    let file = path.display();
    fs::write(&path, "10.1.0.0/24\n").unwrap();
    let set = format!("filter set {service} --deny {file}");
    lab.director.lvsadm(&set).unwrap();
    assert!(!connects(&lab, address));
    let before = lab.director.lvsadm("filter show --json").unwrap();
    for (text, says) in [
        (
            "# nobody\n\n10.9.0.1/24\n",
            "line 3: has bits beyond its length",
        ),
        ("10.9.0.0/24\nnonsense\n", "line 2: is no prefix"),
        ("10.9.0.0/33\n", "line 1: has a length over 32"),
    ] {
        fs::write(&path, text).unwrap();
        for command in [set.as_str(), "filter reload"] {
            let refused = lab.director.try_lvsadm(command).unwrap();
            let message = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(
                !refused.status.success() && message.contains(says),
                "{message}"
            );
        }
        assert!(!connects(&lab, address));
    }
    fs::remove_file(&path).unwrap();
    assert!(
        !lab.director
            .try_lvsadm("filter reload")
            .unwrap()
            .status
            .success()
    );
    let after = lab.director.lvsadm("filter show --json").unwrap();
    assert_eq!(before.lines().count(), after.lines().count());
    fs::write(&path, "10.9.0.0/24\n").unwrap();
    lab.director.lvsadm("filter reload").unwrap();
    assert!(connects(&lab, address));
}

#[test]
fn each_limit_holds_for_real_clients() {
    let Some(lab) = Lab::for_story(Arms::Two, &every_service()) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, [Direct, Nat]) {
        let address = virtual_address(family, method);
        let service = name("tcp", family, method);
        let set = |options: &str| {
            lab.director
                .lvsadm(&format!("filter set {service} {options}"))
                .unwrap();
        };
        // Open connections: the fourth is refused until one is closed.
        set("--open 3");
        let mut open: Vec<_> = (0..3).map(|_| connect(&lab, address)).collect();
        assert!(open.iter().all(Option::is_some), "{family:?} {method:?}");
        assert!(!connects(&lab, address));
        drop(open.pop());
        assert!(eventually(Duration::from_secs(3), || connects(
            &lab, address
        )));
        drop(open);

        // New connections: five at once, then one every 200 ms.
        set("--new-per-second 5");
        thread::sleep(Duration::from_millis(1_100));
        let began = Instant::now();
        let made = (0..12).filter(|_| connects(&lab, address)).count();
        let most = 5 + usize::try_from(began.elapsed().as_millis() / 200).unwrap() + 1;
        assert!(
            (5..=most.min(12)).contains(&made),
            "{made} of at most {most}"
        );
        assert!(made < 12, "all connections were made");
    }
    // Packets: fifty datagrams at once, of which one connection has them all.
    let asked = SocketAddr::new(virtual_address(Ipv4, Direct), 80);
    let service = name("udp", Ipv4, Direct);
    lab.director
        .lvsadm(&format!("filter set {service} --packets-per-second 50"))
        .unwrap();
    let before = verdict(&lab, "drop-client-packets");
    let send = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(asked).unwrap();
        for _ in 0..200 {
            let _ = socket.send(b"hello");
        }
    };
    lab.client.namespace().enter(send).unwrap();
    let dropped = || verdict(&lab, "drop-client-packets") - before;
    assert!(eventually(Duration::from_secs(2), || dropped() >= 130));
    assert!(dropped() <= 150);
    for name in ["drop-client-open", "drop-client-new"] {
        assert!(verdict(&lab, name) > 0, "{name}");
    }
    let shown = lab.director.lvsadm("filter show").unwrap();
    assert!(
        shown.contains("limit    50 packets a second for each client"),
        "{shown}"
    );
}

#[test]
fn open_connections_that_end_without_a_packet_are_counted_off() {
    let lines = every_service() + "--set 1 0 0\n";
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let service = name("tcp", Ipv4, Direct);
    lab.director
        .lvsadm(&format!("filter set {service} --open 2"))
        .unwrap();
    let open = [connect(&lab, address), connect(&lab, address)];
    assert!(open.iter().all(Option::is_some));
    // Established ones expire after a second of silence.
    assert!(eventually(Duration::from_secs(10), || connects(
        &lab, address
    )));
}
