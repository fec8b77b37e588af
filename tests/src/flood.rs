//! Floods of the connection table, with honest clients beside: the real program in the running kernel, frame by
//! frame, and the daemon's sweep once a second.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lvs_common::connection::{Kind, Tag};
use lvs_common::family::V4;
use lvs_common::verdict::Reason;
use lvs_dataplane::clock;
use lvs_dataplane::fill::{Fill, confine, has_others};
use lvs_dataplane::sweep::Sweeper;

use crate::frames::{Content, Packet};
use crate::object::{Action, INTERFACE, Object};

/// The virtual address that is attacked, by direct routing.
const ATTACKED: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Virtual addresses beside it, by direct routing and by NAT, with their real servers.
const BESIDE: [(Ipv4Addr, Ipv4Addr); 2] = [
    (Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 2, 0, 12)),
    (Ipv4Addr::new(10, 9, 0, 3), Ipv4Addr::new(10, 2, 0, 13)),
];
const LINES: &str = "\
-A -t 10.9.0.1:80 -s rr
-a -t 10.9.0.1:80 -r 10.2.0.11:80 -g
-A -u 10.9.0.1:53 -s rr
-a -u 10.9.0.1:53 -r 10.2.0.11:53 -g
-A -t 10.9.0.2:80 -s rr
-a -t 10.9.0.2:80 -r 10.2.0.12:80 -g
-A -t 10.9.0.3:80 -s rr
-a -t 10.9.0.3:80 -r 10.2.0.13:80 -m
";

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Round trip of the honest clients.
const TRIP: Duration = Duration::from_millis(200);

/// What an attacker sends from each invented address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// A SYN.
    Syn,
    /// A SYN and an ACK.
    SynAck,
    /// A SYN and a FIN.
    SynFin,
    /// Two datagrams.
    TwoDatagrams,
    /// A SYN and three ACKs over a second, so that nothing recycles the connection.
    Proven,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Syn,
        Self::SynAck,
        Self::SynFin,
        Self::TwoDatagrams,
        Self::Proven,
    ];

    /// The packets of one flow, with the time at which each is sent.
    fn packets(self, flow: u32) -> Vec<(Duration, Vec<u8>)> {
        let [_, a, b, c] = flow.to_be_bytes();
        let client = Ipv4Addr::new(11, a, b, c);
        let tcp = |flags| segment(client, ATTACKED, flags);
        let at_once =
            |frames: Vec<Vec<u8>>| frames.into_iter().map(|frame| (Duration::ZERO, frame));
        match self {
            Self::Syn => at_once(vec![tcp(SYN)]).collect(),
            Self::SynAck => at_once(vec![tcp(SYN), tcp(ACK)]).collect(),
            Self::SynFin => at_once(vec![tcp(SYN), tcp(FIN)]).collect(),
            Self::TwoDatagrams => {
                let content = Content::Udp {
                    ports: [1_024, 53],
                    checksum: true,
                    data: vec![1],
                };
                let frame = Packet::new(client.into(), ATTACKED.into(), content).frame();
                at_once(vec![frame.clone(), frame]).collect()
            }
            Self::Proven => at_once(vec![tcp(SYN), tcp(ACK), tcp(ACK)])
                .chain([(Duration::from_secs(1), tcp(ACK))])
                .collect(),
        }
    }
}

/// Size of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Entries of the table.
    pub entries: u32,
    /// Flows of the attacker, over the whole time.
    pub flows: u32,
    /// How long it lasts.
    pub time: Duration,
    /// Established connections that are there before, half of them by NAT.
    pub established: u32,
    /// Honest clients that come meanwhile, half of them by NAT.
    pub honest: u32,
}

/// The end of a flood.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Established connections that are gone.
    pub lost: u32,
    /// Honest clients by direct routing and by NAT.
    pub honest: [u32; 2],
    /// Those of them whose every packet found its connection.
    pub served: [u32; 2],
    /// Packets that were forwarded without an entry, and that were dropped for want of one.
    pub without_entry: [u64; 2],
    /// Most entries of the table that were in use, in percent.
    pub fill: u64,
    /// How long it took.
    pub took: Duration,
    /// Most that a packet or a sweep was late by.
    pub late: Duration,
}

fn segment(client: Ipv4Addr, to: Ipv4Addr, flags: u8) -> Vec<u8> {
    let content = Content::Tcp {
        ports: [1_024, 80],
        flags,
        data: Vec::new(),
    };
    Packet::new(client.into(), to.into(), content).frame()
}

/// An honest client by its number; even ones use direct routing.
#[derive(Clone, Copy)]
struct Honest {
    number: u32,
}

impl Honest {
    const fn is_nat(self) -> bool {
        !self.number.is_multiple_of(2)
    }

    fn address(self) -> Ipv4Addr {
        let [_, a, b, c] = self.number.to_be_bytes();
        Ipv4Addr::new(12, a, b, c)
    }

    /// Sends a packet of it, or of its server. False: not to where it belongs.
    fn send(self, object: &Object, from_client: bool, flags: u8) -> Result<bool> {
        let (to, server) = BESIDE[usize::from(self.is_nat())];
        if from_client {
            let end = object.run(INTERFACE, &segment(self.address(), to, flags))?;
            return Ok(end.action == Action::Tx && end.frame[5] == server.octets()[3]);
        }
        if !self.is_nat() {
            return Ok(true);
        }
        let content = Content::Tcp {
            ports: [80, 1_024],
            flags,
            data: Vec::new(),
        };
        let client = IpAddr::from(self.address());
        let frame = Packet::new(server.into(), client, content).frame();
        Ok(object.run(INTERFACE, &frame)?.action == Action::Tx)
    }
}

/// A handshake, a request and its answer, and the end: round trips after the SYN, from the client or not, flags.
const VISIT: [(u32, bool, u8); 8] = [
    (0, true, SYN),
    (0, false, SYN | ACK),
    (1, true, ACK),
    (1, true, ACK),
    (1, false, ACK),
    (2, true, ACK),
    (3, true, FIN | ACK),
    (3, false, FIN | ACK),
];

/// Numbers of honest clients that come during the flood begin here.
const VISITORS: u32 = 1 << 20;

/// Floods a table of its own. `None` where this process may not.
pub fn run(attack: Attack, size: Size) -> Option<Result<Outcome>> {
    let object = Object::load(size.entries, LINES)?;
    Some(flood(&object, attack, size))
}

fn flood(object: &Object, attack: Attack, size: Size) -> Result<Outcome> {
    let established: Vec<_> = (0..size.established)
        .map(|number| Honest { number })
        .collect();
    for client in &established {
        for (_, from_client, flags) in VISIT.into_iter().take(6) {
            client.send(object, from_client, flags)?;
        }
    }
    thread::sleep(Duration::from_millis(600));
    for client in &established {
        client.send(object, true, ACK)?;
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sweeping = scope.spawn(|| sweep(object, &over));
        let outcome = play(object, attack, size, &established);
        over.store(true, Ordering::Relaxed);
        let (fill, late) = sweeping.join().unwrap_or_default();
        let outcome = outcome?;
        Ok(Outcome {
            fill,
            late: late.max(outcome.late),
            ..outcome
        })
    })
}

/// What the daemon does meanwhile. Returns the most entries in use, in percent, and what a sweep was late by at most.
fn sweep(object: &Object, over: &AtomicBool) -> (u64, Duration) {
    let maps = object.maps();
    let (mut sweeper, mut fill) = (Sweeper::default(), Fill::default());
    let (mut most, mut late, mut next) = (0, Duration::ZERO, Instant::now());
    while !over.load(Ordering::Relaxed) {
        if Instant::now() < next {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        late = late.max(next.elapsed());
        next += Duration::from_secs(1);
        let (table, now) = (&maps.connections4, clock::now());
        let live = sweeper.sweep(table, &maps.loads, now).live;
        fill.follow(
            live,
            table.len(),
            sweeper.holdings(),
            |service| has_others(maps, service),
            now,
        );
        confine::<V4>(maps, fill.crowd(), now);
        most = most.max(live * 100 / u64::from(table.len()));
    }
    (most, late)
}

/// The part of a count that is due once so much of a time is over.
fn part(count: u32, now: Duration, time: Duration) -> u32 {
    let due = u128::from(count) * now.as_micros() / time.as_micros().max(1);
    u32::try_from(due).unwrap_or(u32::MAX)
}

fn play(object: &Object, attack: Attack, size: Size, established: &[Honest]) -> Result<Outcome> {
    let start = Instant::now();
    let mut outcome = Outcome::default();
    let mut failed = HashSet::new();
    // What is to be sent later, by its time.
    let mut attacks: BTreeMap<(Duration, u32), Vec<u8>> = BTreeMap::new();
    let mut visits: BTreeSet<(Duration, u32, usize)> = BTreeSet::new();
    let (mut flows, mut visitors, mut kept) = (0, 0, 0);
    let mut before = Duration::ZERO;
    loop {
        let now = start.elapsed();
        outcome.late = outcome.late.max(now.saturating_sub(before));
        before = now;
        let due = |count: u32| part(count, now, size.time);
        if flows == size.flows && visitors == size.honest && visits.is_empty() && attacks.is_empty()
        {
            break;
        }
        let mut idle = true;
        if flows < due(size.flows).min(size.flows) {
            for (later, frame) in attack.packets(flows) {
                if later.is_zero() {
                    object.run(INTERFACE, &frame)?;
                } else {
                    attacks.insert((now + later, flows), frame);
                }
            }
            flows += 1;
            idle = false;
        }
        if let Some(entry) = attacks.first_entry()
            && entry.key().0 <= now
        {
            object.run(INTERFACE, &entry.remove())?;
            idle = false;
        }
        if visitors < due(size.honest).min(size.honest) {
            for (step, (trips, ..)) in VISIT.iter().enumerate() {
                visits.insert((now + TRIP * *trips, visitors, step));
            }
            outcome.honest[visitors as usize % 2] += 1;
            visitors += 1;
            idle = false;
        }
        if let Some(&(at, visitor, step)) = visits.first()
            && at <= now
        {
            visits.pop_first();
            let client = Honest {
                number: VISITORS + visitor,
            };
            let (_, from_client, flags) = VISIT[step];
            if !client.send(object, from_client, flags)? {
                failed.insert(visitor);
            }
            idle = false;
        }
        // Each established connection carries something every ten seconds.
        let turns = part(size.established, now, Duration::from_secs(10));
        if kept < turns
            && let Some(client) = established.get(kept as usize % established.len())
        {
            client.send(object, true, ACK)?;
            kept += 1;
            idle = false;
        }
        if idle {
            thread::sleep(Duration::from_micros(200));
        }
    }
    outcome.took = start.elapsed();
    for (parity, served) in outcome.served.iter_mut().enumerate() {
        let failures = failed
            .iter()
            .filter(|visitor| **visitor as usize % 2 == parity);
        *served = outcome.honest[parity] - u32::try_from(failures.count())?;
    }
    let verdicts = object.verdicts();
    outcome.without_entry =
        [Reason::Stateless, Reason::TableFull].map(|reason| verdicts[reason as usize]);
    let table = &object.maps().connections4;
    let live: HashSet<_> = (0..table.len())
        .filter_map(|way| table.read(way))
        .filter(|entry| Tag(entry.tag).is_live())
        .filter(|entry| Kind::from_raw(entry.key.kind) == Kind::Request)
        .map(|entry| Ipv4Addr::from(entry.key.source))
        .collect();
    let lost = established
        .iter()
        .filter(|client| !live.contains(&client.address()));
    outcome.lost = u32::try_from(lost.count())?;
    Ok(outcome)
}
