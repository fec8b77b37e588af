//! The connection table under several CPUs at once: the real program on two of them, and the daemon's
//! sweeper beside it. Nothing is lost, doubled or wrong.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvs_common::abi::ticks;
use lvs_common::connection::{Entry, Kind, Protocol, Servers as _, Tag, tcp};
use lvs_common::family::V4;
use lvs_common::verdict::Reason;
use lvs_dataplane::clock;
use lvs_dataplane::kernel::EntryMapping;
use lvs_dataplane::sweep::Sweeper;
use lvs_tests::frames::{Content, Packet};
use lvs_tests::object::{Action, INTERFACE, Object};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const VIRTUAL: &str = "10.9.0.1";
const SERVERS: [&str; 3] = ["10.2.0.11", "10.2.0.12", "10.2.0.13"];

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn lines(how: &str) -> String {
    let service = format!("{VIRTUAL}:80");
    SERVERS
        .iter()
        .fold(format!("-A -t {service} -s rr\n"), |lines, server| {
            format!("{lines}-a -t {service} -r {server}:80 {how}\n")
        })
}

/// A client's segment of a flow.
fn segment(flow: u32, flags: u8) -> Vec<u8> {
    let [_, a, b, c] = flow.to_be_bytes();
    let client = std::net::Ipv4Addr::new(11, a, b, c);
    let content = Content::Tcp {
        ports: [1_024, 80],
        flags,
        data: vec![],
    };
    Packet::new(client.into(), VIRTUAL.parse().unwrap(), content).frame()
}

/// CPUs that this process may use, at most two.
fn cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .take(2)
        .collect()
}

/// Does something on both CPUs at once, as often as there are rounds; a round begins on both
/// together. What each did is returned.
fn on_two_cpus<T: Send>(work: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2_u32)
            .map(|turn| {
                let (work, start) = (&work, &start);
                scope.spawn(move || {
                    let cpus = cpus();
                    let mut one = CpuSet::new();
                    one.set(cpus[turn as usize % cpus.len()]).unwrap();
                    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
                    start.wait();
                    work(turn)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Live entries of the table, replies included.
fn entries(table: &EntryMapping<V4>) -> Vec<(u32, Entry<V4>)> {
    (0..table.len())
        .filter_map(|way| Some((way, table.read(way)?)))
        .filter(|(_, entry)| Tag(entry.tag).is_live())
        .collect()
}

/// Every key is there once, every reply has its connection, no way is left claimed, and the loads are
/// what the entries add up to.
#[track_caller]
fn sound(object: &Object) {
    let maps = object.maps();
    let table = &maps.connections4;
    let busy = (0..table.len())
        .filter_map(|way| table.read(way))
        .filter(|entry| Tag(entry.tag).is_busy());
    assert_eq!(busy.count(), 0, "ways left claimed");
    let entries = entries(table);
    let mut keys = HashMap::new();
    let mut loads: HashMap<u32, [u32; 2]> = HashMap::new();
    for (way, entry) in &entries {
        let key = entry.key;
        let identity = (
            key.source,
            key.destination,
            key.ports,
            key.protocol,
            key.kind,
        );
        if let Some(other) = keys.insert(identity, way) {
            panic!("ways {other} and {way} hold the same key: {key:?}");
        }
        let partner = table.partner(*way).map(|way| table.read(way).unwrap());
        if Kind::from_raw(key.kind) == Kind::Reply {
            let partner = partner.expect("a reply without a connection");
            assert!(
                Tag(partner.tag).is_live(),
                "a reply whose connection is gone"
            );
            assert_eq!(partner.partner, way + 1, "a reply of another connection");
            continue;
        }
        if let Some(reply) = partner {
            assert!(
                Tag(reply.tag).is_live(),
                "a connection whose reply entry is gone"
            );
            assert_eq!(reply.partner, way + 1, "another connection's reply entry");
        }
        let active = Protocol::Tcp.active(Tag(entry.tag).state());
        let server = maps.loads.server_of(&entry.record);
        loads.entry(server).or_default()[usize::from(!active)] += 1;
    }
    for server in 0..16 {
        let load = maps.loads.read(server).unwrap();
        let expected = loads.get(&server).copied().unwrap_or_default();
        assert_eq!(
            [load.active(), load.inactive()],
            expected,
            "load of server {server}"
        );
    }
}

#[test]
fn two_cpus_create_one_connection_for_one_new_flow() {
    // So few in so large a table that no set holds the half-open connections at which recycling begins.
    const FLOWS: u32 = 4_000;
    for how in ["-g", "-m"] {
        let Some(object) = Object::load(1 << 20, &lines(how)) else {
            return;
        };
        let meeting = Barrier::new(2);
        // The same flow at the same moment; each says where it sent the packet.
        let sent = on_two_cpus(|_| {
            let mut sent = Vec::new();
            for flow in 0..FLOWS {
                if flow % 64 == 0 {
                    meeting.wait();
                }
                let end = object.run(INTERFACE, &segment(flow, SYN)).unwrap();
                sent.push((end.action, end.frame[5]));
            }
            sent
        });
        sound(&object);
        let apart = sent[0].iter().zip(&sent[1]).filter(|(a, b)| a != b).count();
        // A rival whose CPU was taken away in the midst of an insertion is not waited for.
        let alone = object.verdicts()[Reason::Stateless as usize];
        assert!(
            apart as u64 <= alone,
            "{how}: {apart} flows were sent to two servers, {alone} packets by hash alone"
        );
        assert!(sent[0].iter().all(|(action, _)| *action == Action::Tx));
        let requests = entries(&object.maps().connections4)
            .iter()
            .filter(|(_, entry)| Kind::from_raw(entry.key.kind) == Kind::Request)
            .count();
        assert_eq!(requests, FLOWS as usize, "{how}");
        let service = &object.services()[0];
        let packets = u64::from(2 * FLOWS);
        assert_eq!(service.stats.in_packets, packets, "{how}: packets counted");
        let connections = u64::from(FLOWS);
        assert_eq!(
            service.stats.connections, connections,
            "{how}: connections counted"
        );
    }
}

#[test]
fn counts_stay_exact_while_connections_come_end_and_are_swept() {
    const FLOWS: u32 = 512;
    for how in ["-g", "-m"] {
        let Some(object) = Object::load(2_048, &lines(how)) else {
            return;
        };
        let maps = object.maps();
        let over = AtomicBool::new(false);
        let expired = thread::scope(|scope| {
            // As the daemon does, but to it much time has passed: whatever it meets is expired.
            let sweeping = scope.spawn(|| {
                let mut sweeper = Sweeper::default();
                let mut expired = 0;
                while !over.load(Ordering::Relaxed) {
                    let later = clock::now().wrapping_add(ticks(1_000));
                    expired += sweeper
                        .sweep(&maps.connections4, &maps.loads, later)
                        .expired;
                    thread::sleep(Duration::from_millis(1));
                }
                expired
            });
            let dropped = on_two_cpus(|turn| {
                let until = Instant::now() + Duration::from_secs(3);
                let mut round = turn;
                let mut dropped = 0;
                while Instant::now() < until {
                    for flow in 0..FLOWS {
                        let flags =
                            [SYN, ACK, FIN | ACK, SYN][(flow.wrapping_add(round) % 4) as usize];
                        let end = object.run(INTERFACE, &segment(flow, flags)).unwrap();
                        // A segment of a connection that was just swept is the kernel's. A NAT
                        // connection that is swept between its two entries' insertions is none.
                        match end.action {
                            Action::Tx | Action::Pass => {}
                            Action::Drop if how == "-m" => dropped += 1,
                            action => panic!("{action:?} of flow {flow}"),
                        }
                    }
                    round += 1;
                }
                (dropped, (round - turn) * FLOWS)
            });
            for (dropped, packets) in dropped {
                println!("{how}: {dropped} of {packets} packets dropped");
                assert!(dropped <= packets / 10_000, "{how}: dropped packets");
            }
            over.store(true, Ordering::Relaxed);
            sweeping.join().unwrap()
        });
        assert!(expired > 1_000, "only {expired} connections were swept");
        sound(&object);
    }
}

#[test]
fn a_syn_flood_from_two_cpus_evicts_no_established_connection() {
    const ESTABLISHED: u32 = 1_000;
    for how in ["-g", "-m"] {
        // With 2,000 entries of established connections hardly any set is full of them by chance: both
        // sets of a flow in one of 10^10. With half as many ways it was one in a million.
        let Some(object) = Object::load(16_384, &lines(how)) else {
            return;
        };
        for flow in 0..ESTABLISHED {
            let end = object.run(INTERFACE, &segment(flow, SYN)).unwrap();
            if how == "-m" {
                answer(&object, flow, end.frame[5]);
            }
            object.run(INTERFACE, &segment(flow, ACK)).unwrap();
        }
        let established = || {
            entries(&object.maps().connections4)
                .into_iter()
                .filter(|(_, entry)| Kind::from_raw(entry.key.kind) == Kind::Request)
                .filter(|(_, entry)| Tag(entry.tag).state() == tcp::State::Established as u8)
                .map(|(way, entry)| (way, entry.key.source))
                .collect::<Vec<_>>()
        };
        let before = established();
        assert_eq!(before.len(), ESTABLISHED as usize);
        on_two_cpus(|turn| {
            let first = 1_000_000 * (turn + 1);
            for flow in first..first + 50_000 {
                let end = object.run(INTERFACE, &segment(flow, SYN)).unwrap();
                assert_eq!(end.action, Action::Tx, "{how}: flow {flow}");
            }
        });
        assert!(
            before == established(),
            "{how}: established connections were evicted"
        );
        let full = object.verdicts()[Reason::TableFull as usize];
        assert_eq!(full, 0, "{how}: new connections found no room");
        sound(&object);
    }
}

#[test]
fn a_flood_of_two_packets_each_from_two_cpus_recycles_no_proven_connection() {
    const PROVEN: u32 = 1_000;
    for how in ["-g", "-m"] {
        let Some(object) = Object::load(16_384, &lines(how)) else {
            return;
        };
        let send = |flow: u32, flags: u8| object.run(INTERFACE, &segment(flow, flags)).unwrap();
        for flow in 0..PROVEN {
            let end = send(flow, SYN);
            if how == "-m" {
                answer(&object, flow, end.frame[5]);
            }
            send(flow, ACK);
            send(flow, ACK);
        }
        thread::sleep(Duration::from_millis(600));
        for flow in 0..PROVEN {
            send(flow, ACK);
        }
        let proven = || {
            entries(&object.maps().connections4)
                .into_iter()
                .filter(|(_, entry)| Kind::from_raw(entry.key.kind) == Kind::Request)
                .filter(|(_, entry)| entry.key.source[1] == 0)
                .map(|(way, entry)| (way, entry.key.source))
                .collect::<Vec<_>>()
        };
        let before = proven();
        assert_eq!(before.len(), PROVEN as usize);
        let dropped: u32 = on_two_cpus(|turn| {
            let first = 1_000_000 * (turn + 1);
            let mut dropped = 0;
            for flow in first..first + 50_000 {
                for flags in [SYN, [ACK, FIN | ACK][flow as usize % 2]] {
                    let end = object.run(INTERFACE, &segment(flow, flags)).unwrap();
                    dropped += u32::from(end.action != Action::Tx);
                }
            }
            dropped
        })
        .into_iter()
        .sum();
        // Both CPUs may want the way of the same entry at the same moment; one of the packets is lost then.
        assert!(dropped <= 10, "{how}: {dropped} of 200,000 packets");
        assert!(
            before == proven(),
            "{how}: proven connections were recycled"
        );
        let verdicts = object.verdicts();
        let without = verdicts[Reason::Stateless as usize];
        assert!(without <= 10, "{how}: {without} of 200,000 packets");
        let held = entries(&object.maps().connections4).len();
        assert!(
            held > 12_000,
            "{how}: only {held} entries, nothing was recycled"
        );
        sound(&object);
    }
}

/// The real server's part of a handshake through NAT.
fn answer(object: &Object, flow: u32, last: u8) {
    let [_, a, b, c] = flow.to_be_bytes();
    let content = Content::Tcp {
        ports: [80, 1_024],
        flags: SYN | ACK,
        data: vec![],
    };
    let client = std::net::Ipv4Addr::new(11, a, b, c);
    let server = std::net::Ipv4Addr::new(10, 2, 0, last);
    let frame = Packet::new(server.into(), client.into(), content).frame();
    assert_eq!(object.run(INTERFACE, &frame).unwrap().action, Action::Tx);
}

#[test]
fn a_sweep_covers_a_million_entries() {
    const ENTRIES: u32 = 1 << 20;
    let Some(object) = Object::load(ENTRIES, &lines("-g")) else {
        return;
    };
    let maps = object.maps();
    let end = object.run(INTERFACE, &segment(1, SYN)).unwrap();
    assert_eq!(end.action, Action::Tx);
    // A table full of what one connection looks like: a sweep looks at tags and times only.
    let (_, entry) = entries(&maps.connections4)[0];
    for way in 0..maps.connections4.len() {
        maps.connections4.write(way, entry);
    }
    let mut sweeper = Sweeper::default();
    let start = Instant::now();
    let swept = sweeper.sweep(&maps.connections4, &maps.loads, clock::now());
    let took = start.elapsed();
    assert_eq!(swept.live, u64::from(maps.connections4.len()));
    let build = if cfg!(debug_assertions) {
        "unoptimized"
    } else {
        "optimized"
    };
    println!("{} live entries swept in {took:?} ({build})", swept.live);
}
