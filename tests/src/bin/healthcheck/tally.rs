//! CPU time and connections of a process or a thread.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Ticks of processor time in a second (`USER_HZ`).
const TICKS: f64 = 100.0;

/// CPU time and connections so far.
pub(crate) struct Tally {
    /// Seconds of processor time in the program itself.
    user: f64,
    /// Seconds of processor time in the kernel on its behalf: with what comes of its packets on the
    /// same machine, up to the answer.
    system: f64,
    /// Seconds of it, and of what little others did, in software interrupts: packets that arrive, at the
    /// servers and back here. Where the servers are other machines, that is theirs, and the network card's.
    arrivals: f64,
    /// Connections that its network namespace began, and reset once they were answered.
    connections: u64,
    at: Instant,
}

/// CPU time and connections per second.
pub(crate) struct Rates {
    /// Parts of one core.
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) arrivals: f64,
    /// In a second.
    pub(crate) connections: f64,
}

impl Tally {
    /// Of a process or thread, by its folder below `/proc`.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let stat = read("stat")?;
        // After the name, which may hold anything: user and system time are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
        let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
        let mut seconds = || anyhow::Ok(ticks.next().context("a process has a time")?? / TICKS);
        Ok(Self {
            user: seconds()?,
            system: seconds()?,
            arrivals: interrupts(&fs::read_to_string("/proc/stat")?)? / TICKS,
            connections: reset(&read("net/snmp")?)?,
            at: Instant::now(),
        })
    }

    /// Waits until so many connections more have been answered, and tells what that took.
    pub(crate) fn until(&self, connections: u64, folder: &Path) -> Result<Rates> {
        loop {
            let now = Self::of(folder)?;
            let reset = now.connections - self.connections;
            let seconds = (now.at - self.at).as_secs_f64();
            if reset >= connections {
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
                let connections = reset as f64 / seconds;
                return Ok(Rates {
                    user: (now.user - self.user) / seconds,
                    system: (now.system - self.system) / seconds,
                    arrivals: (now.arrivals - self.arrivals) / seconds,
                    connections,
                });
            }
            ensure!(seconds < 120.0, "only {reset} of {connections} connections");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0} connections a second take {:.1} % of a core, {:.1} % without what arrives, at the servers \
             on this same machine and back here; one takes {:.1} us in the program and {:.1} us in the kernel, \
             {:.1} us of them for what arrives",
            self.connections,
            100.0 * (self.user + self.system),
            100.0 * (self.user + self.system - self.arrivals),
            1e6 * self.user / self.connections,
            1e6 * self.system / self.connections,
            1e6 * self.arrivals / self.connections
        )
    }
}

/// `OutRsts` of `net/snmp` (RFC 4022, tcpOutRsts): a line of names, and one of numbers.
fn reset(snmp: &str) -> Result<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let mut words = || Some(lines.next()?.split_whitespace());
    let (names, numbers) = (words().context("no names")?, words().context("no numbers")?);
    let mut both = names.zip(numbers);
    let found = both.find(|(name, _)| *name == "OutRsts");
    Ok(found.context("no OutRsts")?.1.parse()?)
}

/// Ticks in software interrupts, from `/proc/stat` (proc(5)).
fn interrupts(stat: &str) -> Result<f64> {
    let ticks = stat
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(7));
    Ok(ticks.context("no time in software interrupts")?.parse()?)
}
