//! Measures connection replication between peers: `cargo run --release -p lvs-tests --bin replication`.
//!
//! Two directors with the real program, each on a core of its own, over the loopback interface. The first
//! forwards packets (the kernel's test runs, on the same core) and replicates its connections to the second.
//! The CPU time of each director per connection, without the forwarding, does not depend on how busy the
//! machine is; the other figures do.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lvs_api::model::{Method, Tunnel};
use lvs_api::peers::{PeerReceived, PeerSent};
use lvs_api::role::Role;
use lvs_common::verdict::Reason;
use lvs_replication::peer::{Key, Options, Peers};
use lvs_replication::{Discard, EventFeed};
use lvs_tests::bench::case::{By, Case};
use lvs_tests::bench::frame::{ACK, Payload, SYN, Towards};
use lvs_tests::bench::rig::Rig;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Connections of a portion: each test run of the kernel's costs tens of milliseconds, and the buffer of events
/// has room for twice as many.
const PORTION: u32 = 32_768;
/// Connections are replicated at this packet: one test run less for each portion.
const THRESHOLD: u32 = 2;
/// Time that the last connections may be under way.
const PATIENCE: Duration = Duration::from_mins(1);

/// Measure connection replication between peers
#[derive(Parser)]
struct Arguments {
    /// Connections that a joining director receives
    #[arg(long, default_value_t = 1_000_000)]
    connections: u32,
    /// New connections a second afterwards
    #[arg(long, default_value_t = 200_000)]
    rate: u32,
    /// For so many seconds
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The second director; its address is printed
    #[arg(long, hide = true)]
    second: bool,
}

/// A director with its peer sessions.
struct Node {
    rig: Rig,
    peers: Peers,
    runtime: Runtime,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.second {
        return second();
    }
    pin(0)?;
    let all = arguments.connections + arguments.rate * arguments.seconds;
    let mut rig = Rig::new(&case(all), 1)?;
    rig.set_threshold(THRESHOLD);
    let began = Instant::now();
    let held = open(&mut rig, 0..arguments.connections)?;
    println!(
        "{held} connections opened in {:.2} s",
        began.elapsed().as_secs_f64()
    );
    let mut second = Second::start(all)?;
    let outcome = measure(rig, held, &arguments, &mut second);
    second.end()?;
    outcome
}

/// With a first director that holds so many connections already.
fn measure(rig: Rig, mut held: u64, arguments: &Arguments, second: &mut Second) -> Result<()> {
    let mut node = Node::start(rig, vec![second.line()?])?;
    let bulk = loop {
        thread::sleep(Duration::from_millis(10));
        if let Some(bulk) = node.sent().bulk {
            break bulk;
        }
    };
    println!(
        "bulk: {} connections in {} ms",
        bulk.connections, bulk.took_ms
    );

    let (mut next, end) = (
        arguments.connections,
        arguments.connections + arguments.rate * arguments.seconds,
    );
    let (began, mut worst) = (Instant::now(), 0);
    let (own, other) = (replication_time()?, second.report()?.cpu_time());
    while next < end {
        let until = next.saturating_add(PORTION).min(end);
        held += open(&mut node.rig, next..until)?;
        next = until;
        worst = worst.max(node.sent().lag_ms);
        let due = Duration::from_secs(1) * (next - arguments.connections) / arguments.rate;
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let took = began.elapsed();
    let last = Instant::now();
    // A new one that found both of its sets full took the place of one that was not proven yet.
    let opened = held;
    let held = node.held();
    println!("{} connections made room for newer ones", opened - held);
    while node.sent().connections < held || node.sent().lag_frames > 1 {
        let waited = last.elapsed();
        ensure!(waited < PATIENCE, "{held} to be sent: {:?}", node.sent());
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "steady: {} new connections in {:.2} s ({:.0} a second), lag at most {worst} ms, all sent {} ms after \
         the last",
        end - arguments.connections,
        took.as_secs_f64(),
        f64::from(end - arguments.connections) / took.as_secs_f64(),
        last.elapsed().as_millis()
    );
    let (own, other) = (
        replication_time()?.saturating_sub(own),
        second.report()?.cpu_time().saturating_sub(other),
    );
    for (who, time) in [("first", own), ("second", other)] {
        let each = time.as_secs_f64() / f64::from(end - arguments.connections);
        println!(
            "the {who} director works {:.2} us for each: {:.0} a second with a core of its own",
            each * 1e6,
            1.0 / each
        );
    }
    compare(&node, held, second)?;
    node.end()
}

/// Makes sure that all connections were sent and received.
fn compare(node: &Node, held: u64, second: &mut Second) -> Result<()> {
    let began = Instant::now();
    let (received, crowded) = loop {
        let received = second.report()?.received.unwrap_or_default();
        let mut discarded = received.discarded.iter();
        let crowded = discarded.find(|discarded| discarded.name == Discard::NoRoom.name());
        let crowded = crowded.map_or(0, |crowded| crowded.count);
        if received.connections + crowded >= held || began.elapsed() >= PATIENCE {
            break (received, crowded);
        }
        thread::sleep(Duration::from_millis(20));
    };
    let lost = node.peers.status().lost_events;
    println!(
        "the first director holds {held} connections, the second {} of them; without room there: {crowded}; \
         events lost: {lost}",
        received.connections
    );
    ensure!(lost == 0, "events were lost");
    ensure!(
        received.connections + crowded >= held,
        "the second director lacks connections: {received:?}"
    );
    Ok(())
}

/// CPU time of this process so far, but for the thread that forwards packets.
fn replication_time() -> Result<Duration> {
    let forwarding = cpu_time(UsageWho::RUSAGE_THREAD)?;
    Ok(cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(forwarding))
}

fn cpu_time(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let time = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// The second director, in a process of its own.
struct Second {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Report of the second director.
#[derive(Serialize, Deserialize)]
struct Report {
    /// Microseconds of work so far.
    cpu_time: u64,
    /// Counters of what it received; none before the first session.
    received: Option<PeerReceived>,
}

impl Report {
    const fn cpu_time(&self) -> Duration {
        Duration::from_micros(self.cpu_time)
    }
}

impl Second {
    /// With room for twice as many connections.
    fn start(connections: u32) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--second", "--connections", &connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the second director")?;
        let lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        Ok(Self { process, lines })
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.lines.next().context("the second director ended")??)
    }

    fn report(&mut self) -> Result<Report> {
        let stdin = self.process.stdin.as_mut().context("no input")?;
        stdin.write_all(b"\n")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn end(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        ensure!(status.success(), "the second director failed: {status}");
        Ok(())
    }
}

/// Receives from the first director, and prints its state for each line that it reads.
fn second() -> Result<()> {
    let connections = Arguments::parse().connections;
    pin(1)?;
    let node = Node::start(Rig::new(&case(connections), 1)?, Vec::new())?;
    println!("{}", node.peers.listening());
    for line in std::io::stdin().lines() {
        line?;
        let peer = node.peers.status().peers.into_iter().next();
        let report = Report {
            cpu_time: u64::try_from(cpu_time(UsageWho::RUSAGE_SELF)?.as_micros())?,
            received: peer.and_then(|peer| peer.received),
        };
        println!("{}", serde_json::to_string(&report)?);
    }
    node.end()
}

impl Node {
    fn start(rig: Rig, peers: Vec<String>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let options = Options {
            peers,
            listen: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)),
            key: Key::new(b"the key of the bench").context("too short")?,
        };
        let director = Arc::clone(rig.director());
        let maps = {
            let director = director.lock();
            Arc::clone(director.maps())
        };
        let feed = Arc::new(EventFeed::new(maps));
        let role = watch::Sender::new(Role::Master.into());
        let peers = runtime.block_on(Peers::start(options, director, &feed, role.subscribe()))?;
        Ok(Self {
            rig,
            peers,
            runtime,
        })
    }

    /// Connections in the table.
    fn held(&self) -> u64 {
        let listed = self.rig.director().lock().list();
        let servers = listed.services.iter().flat_map(|service| &service.servers);
        servers
            .map(|server| u64::from(server.active) + u64::from(server.inactive))
            .sum()
    }

    fn sent(&self) -> PeerSent {
        let status = self.peers.status();
        let peer = status.peers.into_iter().next();
        peer.and_then(|peer| peer.sent).unwrap_or_default()
    }

    fn end(self) -> Result<()> {
        drop(self.peers);
        drop(self.runtime);
        self.rig.remove()
    }
}

/// A service by direct routing, and a table of twice as many entries.
fn case(connections: u32) -> Case {
    Case {
        name: "replication".to_owned(),
        ipv6: false,
        udp: false,
        method: Method::Direct,
        tunnel: Tunnel::Ipip,
        towards: Towards::Server,
        flows: connections,
        entries: (connections * 2).next_power_of_two(),
        new: true,
        denied: 0,
        source_check: false,
        sync: None,
        by: By::Native,
    }
}

/// Opens connections by the packets that a client sends: two, of which the last one is replicated at once. Returns
/// how many there was room for: only a known connection's second packet is forwarded by its entry.
fn open(rig: &mut Rig, flows: Range<u32>) -> Result<u64> {
    let case = case(flows.end);
    let mut held = 0;
    let mut first = flows.start;
    while first < flows.end {
        let count = PORTION.min(flows.end - first);
        for flags in [SYN, ACK] {
            rig.plan(&case, Payload::Tcp(flags), Towards::Server, true);
            let mut plan = rig.bench.settings();
            plan.next = first;
            rig.bench.configure(plan);
            let forwarded = rig.ended(Reason::Direct);
            rig.run("measured", count)?;
            if flags == ACK {
                held += rig.ended(Reason::Direct) - forwarded;
            }
        }
        first += count;
    }
    Ok(held)
}

/// Stays on one core, with all threads to come.
fn pin(core: usize) -> Result<()> {
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores)?;
    Ok(())
}
