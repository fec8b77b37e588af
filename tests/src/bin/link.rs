//! What the links between directors can carry: `cargo run --release --bin link`.
//!
//! Two directors with the real program, each on a core of its own, over the loopback interface. The first
//! forwards packets (the kernel's test runs, on its core, too) and tells the second of its connections. What
//! each of them works for a connection, without the forwarding, says what it could do with nothing else to do:
//! a machine that is busy with other things makes the rest slower, but not that.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lvs_tests::bench::case::Case;
use lvs_tests::bench::frame::{ACK, Payload, SYN, Towards};
use lvs_tests::bench::rig::Rig;
use lvs_userspace::control::peers::{PeersStatus, Told};
use lvs_userspace::control::role::Role;
use lvs_userspace::model::Method;
use lvs_userspace::peer::{Key, Options, Peers};
use lvs_userspace::sync::Feed;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Connections of a portion: each test run of the kernel's costs tens of milliseconds, and the buffer of events
/// has room for twice as many.
const PORTION: u32 = 32_768;
/// Connections are told at this packet: a test run less for each portion.
const THRESHOLD: u32 = 2;

/// Measure the links between directors
#[derive(Parser)]
struct Arguments {
    /// Connections that a joining director is told
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

/// A director with its links.
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
    open(&mut rig, 0..arguments.connections)?;
    println!(
        "{} connections opened in {:.2} s",
        arguments.connections,
        began.elapsed().as_secs_f64()
    );
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--second", "--connections", &all.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the second director")?;
    let outcome = measure(rig, &arguments, &mut child);
    drop(child.stdin.take());
    child.wait()?;
    outcome
}

fn measure(rig: Rig, arguments: &Arguments, child: &mut Child) -> Result<()> {
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let address = lines.next().context("the second director ended")??;
    let mut node = Node::start(rig, vec![address])?;
    let bulk = loop {
        thread::sleep(Duration::from_millis(10));
        if let Some(bulk) = node.told().bulk {
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
    let (own, other) = (told_for()?, worked_there(child, &mut lines)?);
    while next < end {
        let until = next.saturating_add(PORTION).min(end);
        open(&mut node.rig, next..until)?;
        next = until;
        worst = worst.max(node.told().lag_ms);
        let due = Duration::from_secs(1) * (next - arguments.connections) / arguments.rate;
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let took = began.elapsed();
    let (last, held) = (Instant::now(), u64::from(end));
    while node.told().connections < held * 999 / 1_000 || node.told().lag_frames > 1 {
        ensure!(last.elapsed() < Duration::from_mins(1), "{:?}", node.told());
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "steady: {} new connections in {:.2} s ({:.0} a second), lag at most {worst} ms, all told {} ms after \
         the last; events lost {}",
        end - arguments.connections,
        took.as_secs_f64(),
        f64::from(end - arguments.connections) / took.as_secs_f64(),
        last.elapsed().as_millis(),
        node.peers.status().lost_events
    );
    let (own, other) = (
        told_for()?.saturating_sub(own),
        worked_there(child, &mut lines)?.saturating_sub(other),
    );
    for (who, worked) in [("first", own), ("second", other)] {
        let each = worked.as_secs_f64() / f64::from(end - arguments.connections);
        println!(
            "the {who} director works {:.2} us for each: {:.0} a second with a core of its own",
            each * 1e6,
            1.0 / each
        );
    }
    drop(child.stdin.take());
    let said = lines.next().context("the second director ended")??;
    println!("second director: {said}");
    node.end()
}

/// What this process has worked so far, but for the thread that forwards packets.
fn told_for() -> Result<Duration> {
    let forwarding = worked(UsageWho::RUSAGE_THREAD)?;
    Ok(worked(UsageWho::RUSAGE_SELF)?.saturating_sub(forwarding))
}

fn worked(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    let time = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// What the second director has worked so far.
fn worked_there(
    child: &mut Child,
    lines: &mut impl Iterator<Item = std::io::Result<String>>,
) -> Result<Duration> {
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(b"\n")?;
    }
    let said = lines.next().context("the second director ended")??;
    Ok(Duration::from_micros(said.parse()?))
}

/// Takes what the first tells, and says for each line how many microseconds it has worked; when there are no
/// more, what it holds.
fn second() -> Result<()> {
    let connections = Arguments::parse().connections;
    pin(1)?;
    let node = Node::start(Rig::new(&case(connections), 1)?, Vec::new())?;
    println!("{}", node.peers.listening());
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", worked(UsageWho::RUSAGE_SELF)?.as_micros());
    }
    let status = node.peers.status();
    println!("{}", serde_json::to_string(&taken(&status))?);
    node.end()
}

fn taken(status: &PeersStatus) -> Option<&lvs_userspace::control::peers::Taken> {
    status.peers.first()?.taken.as_ref()
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
            let director = director.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            Arc::clone(director.maps())
        };
        let feed = Arc::new(Feed::new(maps));
        let role = watch::Sender::new(Role::Master);
        let peers = runtime.block_on(Peers::start(options, director, &feed, role.subscribe()))?;
        Ok(Self {
            rig,
            peers,
            runtime,
        })
    }

    fn told(&self) -> Told {
        let status = self.peers.status();
        let peer = status.peers.into_iter().next();
        peer.and_then(|peer| peer.told).unwrap_or_default()
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
        name: "link".to_owned(),
        ipv6: false,
        udp: false,
        method: Method::Direct,
        towards: Towards::Server,
        flows: connections,
        entries: (connections * 2).next_power_of_two(),
        new: true,
        sync: None,
    }
}

/// Opens connections by the packets that a client sends: two, of which the last one is told at once.
fn open(rig: &mut Rig, flows: std::ops::Range<u32>) -> Result<()> {
    let case = case(flows.end);
    let mut first = flows.start;
    while first < flows.end {
        let count = PORTION.min(flows.end - first);
        for flags in [SYN, ACK] {
            rig.plan(&case, Payload::Tcp(flags), Towards::Server, true);
            let mut plan = rig.harness.plan();
            plan.next = first;
            rig.harness.set_plan(plan);
            rig.harness.run("measured", count)?;
        }
        first += count;
    }
    Ok(())
}

/// Stays on one core, with all threads to come.
fn pin(core: usize) -> Result<()> {
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores)?;
    Ok(())
}
