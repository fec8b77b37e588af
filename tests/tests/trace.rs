//! `lvsadm trace`: what becomes of packets, as they are handled.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::{Direct, Nat, Tunnel};
use lvs_api::model::Protocol::{Tcp, Udp};
use lvs_api::trace::{TraceLine, TracedPacket};
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{client, server, virtual_address};
use lvs_tests::lab::director::service;
use lvs_tests::lab::{Arms, Lab, available};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running `lvsadm trace`.
struct Trace {
    child: Child,
    /// Reads what it writes: it is not to wait for its reader.
    out: JoinHandle<String>,
    /// Bytes that were read.
    written: Arc<AtomicUsize>,
    errors: BufReader<std::process::ChildStderr>,
}

impl Trace {
    /// Begins to trace; returns once packets are recorded.
    fn begin(lab: &Lab, line: &str) -> Self {
        let mut command = Command::new(lab.director.lvsadm_program());
        command.arg("--socket").arg(lab.director.socket());
        command.arg("trace").args(line.split_whitespace());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = lab.director.namespace().spawn(&mut command).unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        errors.read_line(&mut first).unwrap();
        assert_eq!(first, "tracing: Ctrl-C ends it\n");
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let written = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&written);
        let out = std::thread::spawn(move || {
            let mut out = String::new();
            while stdout.read_line(&mut out).unwrap() != 0 {
                counter.store(out.len(), Ordering::Relaxed);
            }
            out
        });
        Self {
            child,
            out,
            written,
            errors,
        }
    }

    /// Interrupts it; what it wrote, and what it said last.
    fn end(self) -> (String, String) {
        // What was recorded last is on its way; losses are told once a second.
        let mut before = usize::MAX;
        loop {
            let written = self.written.load(Ordering::Relaxed);
            if written == before {
                break;
            }
            before = written;
            std::thread::sleep(Duration::from_millis(if written == 0 { 100 } else { 300 }));
        }
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGINT).unwrap();
        self.wait()
    }

    /// Waits for its end.
    fn wait(mut self) -> (String, String) {
        let out = self.out.join().unwrap();
        let mut said = String::new();
        self.errors.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        (out, said)
    }
}

fn packets(out: &str) -> Vec<TracedPacket> {
    let lines = out.lines().filter(|line| !line.starts_with("{\"lost\""));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What all verdicts that forward or answer counted so far.
fn handled(lab: &Lab) -> u64 {
    let verdicts = lab.director.lvsadm("--verdicts").unwrap();
    let counts = verdicts
        .lines()
        .filter(|line| line.starts_with("forward-") || line.starts_with("drop-"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    counts.sum()
}

fn log(lab: &Lab) -> String {
    std::fs::read_to_string(lab.director.log()).unwrap()
}

#[test]
fn a_connection_is_traced_from_its_first_packet_to_its_last() {
    let lines = [Direct, Nat, Tunnel]
        .map(|method| service(Tcp, Ipv4, method, "rr") + &service(Tcp, Ipv6, method, "rr"));
    // In the driver, and behind it.
    for arms in [Arms::Two, Arms::Bridge] {
        let Some(lab) = Lab::for_story(arms, &lines.concat()) else {
            return;
        };
        let every = || lvs_tests::pairs([Ipv4, Ipv6], [Direct, Nat, Tunnel]);
        for (family, method) in every() {
            lab.client.get(virtual_address(family, method)).unwrap();
        }
        // Packets of these connections may come late.
        std::thread::sleep(Duration::from_millis(300));
        let before = handled(&lab);
        let trace = Trace::begin(&lab, "tcp port 80 --json");
        let other = Trace::begin(&lab, "host 203.0.113.1 --json");
        let names: Vec<_> = every()
            .map(|(family, method)| lab.client.get(virtual_address(family, method)).unwrap())
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        let counted = handled(&lab) - before;
        let (out, said) = trace.end();
        assert_eq!(other.end().0, "");
        let all = packets(&out);
        assert_eq!(all.len() as u64, counted, "{arms:?} {said}: {all:#?}");
        for ((family, method), name) in every().zip(names) {
            let address = virtual_address(family, method);
            let packets: Vec<_> = all
                .iter()
                .filter(|packet| {
                    packet.connection.as_ref().unwrap().virtual_address.ip() == address
                })
                .collect();
            let context = format!("{arms:?} {family:?} {method:?}: {packets:#?}");
            let states = |packet: &TracedPacket| {
                let connection = packet.connection.as_ref().unwrap();
                (connection.before.clone(), connection.state.clone())
            };
            let state = |name: &str| Some(name.to_owned());
            let first = packets
                .iter()
                .find(|packet| states(packet) == (None, state("SYN_RECV")));
            let first = first.unwrap_or_else(|| panic!("no SYN: {context}"));
            let number = (1..=Lab::SERVERS).find(|number| name.ends_with(&number.to_string()));
            assert_eq!(
                first.server.map(|server| server.ip()),
                number.map(|number| server(family, number)),
                "{context}"
            );
            assert_eq!(first.method, Some(method), "{context}");
            assert!(first.out.is_some() && first.next_hop.is_some(), "{context}");
            assert_eq!(first.came.unwrap().source, client(family));
            let established = (state("SYN_RECV"), state("ESTABLISHED"));
            assert!(
                packets.iter().any(|packet| states(packet) == established),
                "{context}"
            );
            if method == Nat {
                assert_eq!(first.left.unwrap().destination, first.server.unwrap().ip());
                let replies = packets
                    .iter()
                    .filter(|packet| packet.verdict == "forward-nat-reply");
                assert!(replies.count() > 1, "{context}");
            }
        }
    }
}

#[test]
fn a_dropped_packet_is_traced_with_its_reason() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Direct, "rr")) else {
        return;
    };
    let to = SocketAddr::new(virtual_address(Ipv4, Direct), 80);
    lab.director
        .lvsadm(&format!("filter set {to} --deny 10.1.0.0/24"))
        .unwrap();
    let trace = Trace::begin(&lab, "port 80 and verdict drop -c 1");
    let connect = || TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_ok();
    assert!(!lab.client.namespace().enter(connect).unwrap());
    let (out, said) = trace.wait();
    let line = out.trim_end();
    assert!(line.contains(&format!(" > {to} tcp ")), "{line}");
    assert!(
        line.contains(&format!("| tcp {to} | drop-denied: of no known connection")),
        "{line}"
    );
    assert!(said.ends_with("1 packet\n"), "{said}");
}

#[test]
fn no_packet_is_lost_when_the_programs_change_whoever_is_killed() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Nat, "rr")) else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    let stages = || {
        let pins = std::fs::read_dir(lab.director.pins()).unwrap();
        let names = pins.map(|pin| pin.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("stages-")).count()
    };
    assert_eq!(stages(), 1);
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let (trace, other) = (
            Trace::begin(&lab, "new --json"),
            Trace::begin(&lab, "port 81"),
        );
        assert_eq!(stages(), 2);
        assert_eq!(lab.client.get_many(address, 20).unwrap().len(), 20);
        drop(other.end());
        // One still traces.
        assert_eq!(stages(), 2);
        let mut trace = trace;
        kill(Pid::from_raw(trace.child.id().cast_signed()), signal).unwrap();
        trace.child.wait().unwrap();
        let ended = eventually(Duration::from_secs(5), || stages() == 1);
        assert!(ended, "{signal:?}: {}", log(&lab));
        assert_eq!(lab.client.get_many(address, 20).unwrap().len(), 20);
    }
    let mut trace = Trace::begin(&lab, "new");
    lab.director.kill();
    assert_eq!(lab.client.get_many(address, 5).unwrap().len(), 5);
    assert_eq!(trace.child.wait().unwrap().code(), Some(2));
    lab.director.start().unwrap();
    assert_eq!(stages(), 1);
    assert_eq!(lab.client.get_many(address, 5).unwrap().len(), 5);
    // An end of the daemon leaves none either.
    let trace = Trace::begin(&lab, "new");
    lab.director.stop().unwrap();
    drop(trace);
    assert_eq!(stages(), 1);
    assert_eq!(lab.client.get_many(address, 5).unwrap().len(), 5);
}

#[test]
fn packets_that_are_not_told_are_counted() {
    const DATAGRAMS: usize = 20_000;
    let Some(lab) = Lab::for_story(Arms::Two, &service(Udp, Ipv4, Direct, "rr")) else {
        return;
    };
    let to = SocketAddr::new(virtual_address(Ipv4, Direct), 80);
    lab.client.ask(to, "hello").unwrap();
    let before = handled(&lab);
    let trace = Trace::begin(
        &lab,
        &format!("udp dst port 80 and dst host {} --json", to.ip()),
    );
    let flood = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let begun = Instant::now();
        for number in 0..DATAGRAMS {
            // 10,000 a second.
            if number % 100 == 0 {
                let due = Duration::from_micros(100 * number as u64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            let _ = socket.send_to(b"x", to);
        }
    };
    lab.client.namespace().enter(flood).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let counted = handled(&lab) - before;
    let (out, said) = trace.end();
    let (mut shown, mut lost) = (0, 0);
    for line in out.lines() {
        match serde_json::from_str(line) {
            Ok(TraceLine::Lost { records, skipped }) => lost += records + skipped,
            _ => shown += 1,
        }
    }
    assert_eq!(shown + lost, counted, "{said}");
    println!("{shown} of {counted} shown, {lost} counted as lost");
    assert!(shown > counted / 2, "{shown} of {counted}: {said}");
}

#[test]
fn frames_are_written_as_they_came_and_as_they_left() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Nat, "rr")) else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    let file = lab.folder().join("frames.pcapng");
    let trace = Trace::begin(&lab, &format!("host {address} -w {}", file.display()));
    lab.client.get(address).unwrap();
    let (out, said) = trace.end();
    assert!(out.is_empty() && said.contains(" packets"), "{out} {said}");
    let read = |program: &str, options: &[&str]| {
        let mut command = Command::new(program);
        let output = command.args(options).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    };
    let path = file.to_string_lossy().into_owned();
    if lvs_tests::lab::find("tshark").is_some() {
        let fields = [
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "ip.dst",
            "-e",
            "frame.comment",
        ];
        let told = read("tshark", &[&["-r", &path], fields.as_slice()].concat());
        let left = told
            .lines()
            .find(|line| line.contains("10.2.0.1") && line.starts_with("back"));
        assert!(
            left.is_some_and(|line| line.contains("forward-nat: ")),
            "{told}"
        );
    }
    if lvs_tests::lab::find("tcpdump").is_some() {
        let told = read("tcpdump", &["-n", "-r", &path]);
        for way in [
            format!("> {address}.80: Flags [S]"),
            "> 10.2.0.1".to_owned(),
            format!("{address}.80 > "),
        ] {
            assert!(told.contains(&way), "{way}: {told}");
        }
    }
    let bytes = std::fs::read(&file).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(has(
        "forward-nat: forwarded to a real server, destination rewritten; service tcp "
    ));
    assert!(has("forward-nat-reply: "));
    // A wrong filter leaves the file as it is.
    let wrong = lab.director.try_lvsadm(&format!("trace nowhere -w {path}"));
    assert!(!wrong.unwrap().status.success());
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn status_says_that_somebody_traces() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Nat, "rr")) else {
        return;
    };
    let tracers = || {
        let status = lab.director.lvsadm("status --json").unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["tracing"]["tracers"].as_u64(), status)
    };
    assert_eq!(tracers().0, None);
    let first = Trace::begin(&lab, "port 80");
    std::thread::sleep(Duration::from_millis(1100));
    let second = Trace::begin(&lab, "port 81");
    let (number, status) = tracers();
    assert_eq!(number, Some(2), "{status}");
    assert!(status["tracing"]["age"].as_u64() >= Some(1), "{status}");
    let shown = lab.director.lvsadm("status").unwrap();
    assert!(shown.contains("2 clients trace packets since "), "{shown}");
    let shown = lab.director.lvsadm("top --once").unwrap();
    assert!(shown.contains("traced by 2 since "), "{shown}");
    first.end();
    assert!(eventually(Duration::from_secs(10), || tracers().0 == Some(1)));
    second.end();
    assert!(eventually(Duration::from_secs(10), || tracers()
        .0
        .is_none()));
}

#[test]
fn a_filter_that_makes_no_sense_shows_where() {
    if !available() {
        return;
    }
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Nat, "rr")) else {
        return;
    };
    for (filter, message, mark) in [
        (
            "host 10.1.0.1 and prot 80",
            "`prot' is no test",
            "                  ^^^^",
        ),
        ("port 80x", "`80x' is no port", "     ^^^"),
        (
            "( host 10.1.0.1",
            "it ends where a `)' is expected",
            "               ^",
        ),
        ("verdict lost", "`lost' is no verdict", "        ^^^^"),
    ] {
        let output = lab.director.try_lvsadm(&format!("trace {filter}")).unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(255), "{error}");
        assert!(error.contains(message), "{error}");
        assert!(
            error.contains(&format!("\n  {filter}\n  {mark}\n")),
            "{error}"
        );
    }
    let long = format!("trace {}", "( ".repeat(3_000));
    let output = lab.director.try_lvsadm(&long).unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("longer than 4096 bytes"), "{error}");
    // Nothing was loaded for them.
    assert!(!log(&lab).contains("recorded"));
}
