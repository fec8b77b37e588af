//! An edit that the daemon acknowledged is in the maps, even if the daemon is killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Direct;
use lvs_api::model::Protocol::Tcp;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::director::{server_name, service, service_name};
use lvs_tests::lab::{Arms, Lab};

/// Services with their servers and weights.
type Tables = BTreeMap<String, BTreeMap<String, u32>>;

/// Reads what `lvsadm -S -n` prints.
fn read(saved: &str) -> Tables {
    let mut tables = Tables::new();
    for line in saved.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["-A", "-t", service, ..] => drop(tables.insert(service.to_owned(), BTreeMap::new())),
            ["-a", "-t", service, "-r", server, "-m", "-w", weight] => {
                let servers = tables.get_mut(service).unwrap();
                servers.insert(server.to_owned(), weight.parse().unwrap());
            }
            _ => panic!("an unexpected line: {line}"),
        }
    }
    tables
}

/// Pseudo-random numbers: a run can be repeated.
struct Random(u64);

impl Random {
    /// A number below a limit.
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap()
    }
}

/// A random edit that the tables allow, and the tables after it.
fn edit(random: &mut Random, tables: &Tables) -> (String, Tables) {
    let mut after = tables.clone();
    let service = format!("10.1.0.{}:80", 200 + random.below(4));
    let server = SocketAddr::new(
        server(Ipv4, 1),
        u16::try_from(8000 + random.below(20)).unwrap(),
    );
    let server = server.to_string();
    let scheduler = ["rr", "wrr", "mh", "sh", "wlc"][random.below(5) as usize];
    let weight = random.below(50);
    let Some(servers) = after.get_mut(&service) else {
        after.insert(service.clone(), BTreeMap::new());
        return (format!("-A -t {service} -s {scheduler}"), after);
    };
    let line = match random.below(10) {
        0 => {
            after.remove(&service);
            format!("-D -t {service}")
        }
        1 | 2 => format!("-E -t {service} -s {scheduler}"),
        3 | 4 if servers.remove(&server).is_some() => format!("-d -t {service} -r {server}"),
        _ => {
            let known = servers.insert(server.clone(), weight).is_some();
            let command = if known { "-e" } else { "-a" };
            format!("{command} -t {service} -r {server} -m -w {weight}")
        }
    };
    (line, after)
}

#[test]
fn a_daemon_killed_in_the_midst_of_edits_forgets_none_it_acknowledged() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let mut random = Random(7);
    let mut tables = Tables::new();
    let mut edits = 0;
    for _ in 0..20 {
        let moment = Duration::from_millis(u64::from(20 + random.below(200)));
        let unanswered = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(moment);
                lab.director.kill();
            });
            loop {
                let (line, after) = edit(&mut random, &tables);
                if !lab.director.try_lvsadm(&line).unwrap().status.success() {
                    break after;
                }
                tables = after;
                edits += 1;
            }
        });
        lab.director.start().unwrap();
        // The edit that was under way is there or is not: never half of it.
        let found = read(&lab.director.lvsadm("-S -n").unwrap());
        assert!(
            found == tables || found == unanswered,
            "{found:?}\n{tables:?}\n{unanswered:?}"
        );
        tables = found;
    }
    assert!(edits > 100, "only {edits} edits");
}

/// Connections that the counters of the only service and of its servers show.
fn counted(lab: &Lab) -> Vec<u32> {
    let listing = lab.director.lvsadm("-L -n --stats").unwrap();
    let connections = |line: &str| line.split_whitespace().nth(2).unwrap().parse().unwrap();
    listing.lines().skip(3).map(connections).collect()
}

#[test]
fn counters_start_at_zero_with_a_new_service_and_go_on_with_a_returning_server() {
    let lines = service(Tcp, Ipv4, Direct, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    lab.client
        .get_many(virtual_address(Ipv4, Direct), 6)
        .unwrap();
    assert_eq!(counted(&lab), [6, 2, 2, 2]);
    // `ip_vs_trash_get_dest`: a server that comes back to its service has what it had.
    let name = service_name(Tcp, Ipv4, Direct);
    let first = server_name(Ipv4, 1);
    lab.director.lvsadm(&format!("-d {name} {first}")).unwrap();
    lab.director
        .lvsadm(&format!("-a {name} {first} -g"))
        .unwrap();
    assert_eq!(counted(&lab), [6, 2, 2, 2]);
    // `__ip_vs_update_dest`: to another service of the same address it comes without.
    lab.director.lvsadm(&format!("-D {name}")).unwrap();
    lab.director.restore(&lines).unwrap();
    assert_eq!(counted(&lab), [0, 0, 0, 0]);
    lab.client
        .get_many(virtual_address(Ipv4, Direct), 3)
        .unwrap();
    assert_eq!(counted(&lab), [3, 1, 1, 1]);
}

/// Runs `lvsadm -R` with these options, however it ends.
fn restore(lab: &Lab, options: &[&str], lines: &str) -> Output {
    let file = lab.folder().join("lines");
    fs::write(&file, lines).unwrap();
    let mut command = Command::new(lab.director.lvsadm_program());
    command
        .arg("--socket")
        .arg(lab.director.socket())
        .arg("-R")
        .args(options)
        .stdin(File::open(&file).unwrap());
    command.output().unwrap()
}

#[test]
fn a_restore_waits_for_no_real_server_that_is_switched_off() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let lines: String = (20..220)
        .flat_map(|host| {
            let service = format!("-t 10.1.0.200:{}", 1000 + host);
            [
                format!("-A {service} -s rr\n"),
                format!("-a {service} -r 10.2.0.{host}:80 -m\n"),
            ]
        })
        .collect();
    let start = Instant::now();
    let output = restore(&lab, &[], &lines);
    let took = start.elapsed();
    assert!(output.status.success(), "{output:?}");
    let saved = lab.director.lvsadm("-Sn").unwrap();
    assert_eq!(saved.lines().count(), 400);
    // 50 ms for each were ten seconds.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_restore_leaves_out_what_is_refused_and_an_atomic_one_changes_nothing_then() {
    let lines = service(Tcp, Ipv4, Direct, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    let before = lab.director.lvsadm("-Sn").unwrap();
    let changes = "-C\n\
                   -A -t 10.1.0.200:80 -s rr\n\
                   -a -t 10.1.0.200:80 -r 10.2.0.11:80 -m\n\
                   -a -t 10.1.0.200:80 -r 10.2.0.11:80 -m\n\
                   -A -t 10.1.0.201:80 -s wlc\n";
    let output = restore(&lab, &["--atomic"], changes);
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "line 4: Destination already exists\nnothing was changed\n"
    );
    assert_eq!(lab.director.lvsadm("-Sn").unwrap(), before);

    let output = restore(&lab, &[], changes);
    assert_eq!(output.status.code(), Some(0), "that of the last line");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "Destination already exists\n"
    );
    assert_eq!(
        lab.director.lvsadm("-Sn").unwrap(),
        "-A -t 10.1.0.200:80 -s rr\n\
         -a -t 10.1.0.200:80 -r 10.2.0.11:80 -m -w 1\n\
         -A -t 10.1.0.201:80 -s wlc\n"
    );
}

#[test]
fn a_restore_that_finds_no_room_keeps_what_has_room_and_an_atomic_one_nothing() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    lab.director.stop().unwrap();
    lab.director
        .start_with(&["--reset", "--slots", "6000"])
        .unwrap();
    lab.director.lvsadm("-A -t 10.1.0.200:80 -s rr").unwrap();
    // Maglev needs 4,093 slots for each.
    let lines = "-E -t 10.1.0.200:80 -s wlc\n\
        -A -t 10.1.0.200:81 -s mh\n-a -t 10.1.0.200:81 -r 10.2.0.11:80 -m\n\
        -A -t 10.1.0.200:82 -s mh\n-a -t 10.1.0.200:82 -r 10.2.0.11:80 -m\n";
    let before = lab.director.lvsadm("-Sn").unwrap();
    let output = restore(&lab, &["--atomic"], lines);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert_eq!(lab.director.lvsadm("-Sn").unwrap(), before);

    let output = restore(&lab, &[], lines);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert_eq!(
        lab.director.lvsadm("-Sn").unwrap(),
        "-A -t 10.1.0.200:80 -s wlc\n\
         -A -t 10.1.0.200:81 -s mh\n\
         -a -t 10.1.0.200:81 -r 10.2.0.11:80 -m -w 1\n\
         -A -t 10.1.0.200:82 -s mh\n"
    );
}

#[test]
fn counters_of_a_restored_service_start_at_zero() {
    let lines = service(Tcp, Ipv4, Direct, "rr");
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    lab.client
        .get_many(virtual_address(Ipv4, Direct), 6)
        .unwrap();
    assert_eq!(counted(&lab), [6, 2, 2, 2]);
    // As if it were deleted and added again.
    assert!(restore(&lab, &[], &format!("-C\n{lines}")).status.success());
    assert_eq!(counted(&lab), [0, 0, 0, 0]);
}

#[test]
fn ten_thousand_services_are_taken_by_default_in_little_memory() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let lines: String = (0..10_000)
        .flat_map(|number| {
            let service = format!("-t 10.200.{}.{}:80", number / 250, number % 250);
            [
                format!("-A {service} -s wlc\n"),
                format!("-a {service} -r 10.2.0.11:80 -m\n"),
            ]
        })
        .collect();
    let output = restore(&lab, &["--atomic"], &lines);
    assert!(output.status.success(), "{output:?}");
    let saved = lab.director.lvsadm("-Sn").unwrap();
    assert_eq!(saved.lines().count(), 20_000);
    let memory = lab.director.memory().unwrap();
    assert!(memory < 100 << 20, "{memory} bytes");
}
