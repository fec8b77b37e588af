//! Measures failover by a cluster manager as a client notices it: the longest pause of a stream of
//! datagrams as lvs1 dies, and as it is taken out.
//!
//! Each manager runs as its page in `docs` has it. Beside it, for comparison, the manager alone: it moves the
//! same addresses between two hosts that answer for themselves, and no director is there.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use lvs_tests::eventually;
use lvs_tests::lab::traffic::Datagrams;
use lvs_tests::lab::{Page, RealServer, Site, installation};

/// Measures the pauses of failovers by real cluster managers
#[derive(Debug, Parser)]
struct Arguments {
    /// The cases to measure; all if none is named
    cases: Vec<Case>,
    /// Crashes, and as many planned moves, of each case
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Folder with lvsd and lvsadm, such as target/release, in the place of those beside this program
    #[arg(long, value_name = "DIR")]
    programs: Option<String>,
    /// Also print the end of what the directors logged
    #[arg(long)]
    explain: bool,
}

/// A stream that goes on for so long is not in the middle of a change.
const CALM: Duration = Duration::from_secs(3);

/// A set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// keepalived, adverts of 100 ms
    Keepalived,
    /// The same without a director
    KeepalivedAlone,
    /// Heartbeat, 500 ms and 2 s, whose director starts when lvs1 has died
    Heartbeat,
    /// The same with directors that are peers and run all the time
    HeartbeatPeers,
    /// The same without a director
    HeartbeatAlone,
}

impl Case {
    fn has_director(self) -> bool {
        !matches!(self, Self::KeepalivedAlone | Self::HeartbeatAlone)
    }

    fn is_keepalived(self) -> bool {
        matches!(self, Self::Keepalived | Self::KeepalivedAlone)
    }

    fn page(self) -> Page {
        Page::read(if self.is_keepalived() {
            "keepalived.md"
        } else {
            "heartbeat.md"
        })
    }

    fn segments(self) -> &'static [&'static str] {
        if self.is_keepalived() {
            &["192.168.25", "10.0.0"]
        } else {
            &["10.0.0"]
        }
    }

    fn address(self) -> IpAddr {
        if self.is_keepalived() {
            [192, 168, 25, 203].into()
        } else {
            [10, 0, 0, 3].into()
        }
    }

    /// A command for both directors before anything starts: it adds the stream's virtual service, or removes
    /// the director.
    fn adapt(self) -> &'static str {
        match self {
            Self::Keepalived => {
                "printf 'virtual=192.168.25.203:80\\n\\treal=10.0.0.11:80 masq\\n\\treal=10.0.0.12:80 masq\\n\
                 \\tprotocol=udp\\n\\tchecktype=on\\n' >>/etc/ha.d/ldirectord.cf"
            }
            Self::Heartbeat | Self::HeartbeatPeers => {
                "printf 'virtual=10.0.0.3:80\\n\\treal=10.0.0.11:80 gate\\n\\treal=10.0.0.12:80 gate\\n\
                 \\tprotocol=udp\\n\\tchecktype=on\\n' >>/etc/ha.d/www.cf"
            }
            Self::KeepalivedAlone => {
                "sed -i '/notify/d; /^vrrp_script/,/^}/d; /track_script/,/}/d' \
                 /etc/keepalived/keepalived.conf; echo 'DAEMON_ARGS=-P' >/etc/default/keepalived"
            }
            Self::HeartbeatAlone => "sed -i 's/ lvs::www//' /etc/ha.d/haresources",
        }
    }

    /// The services to start on a director.
    fn start(self) -> &'static str {
        match self {
            Self::Keepalived => "service lvsd start && service keepalived start",
            Self::KeepalivedAlone => "service keepalived start",
            Self::HeartbeatPeers => "service lvsd start && service heartbeat start",
            Self::Heartbeat | Self::HeartbeatAlone => "service heartbeat start",
        }
    }

    /// The command that takes a director out.
    fn stop(self) -> &'static str {
        if self.is_keepalived() {
            "service keepalived stop"
        } else {
            "service heartbeat stop"
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cases = if arguments.cases.is_empty() {
        Case::value_variants()
    } else {
        &arguments.cases
    };
    for &case in cases {
        if let Err(error) = measure(case, &arguments) {
            eprintln!("{case:?}: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(case: Case, arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let programs = arguments.programs.as_deref();
    let options: Vec<_> = programs
        .into_iter()
        .flat_map(|it| ["--programs", it])
        .collect();
    installation::install_for_site(folder.path(), &options)?;
    let mut site = Site::new(case.segments(), folder.path())?;
    for name in ["lvs1", "lvs2"] {
        site.boot(name)?;
    }
    prepare(case, &mut site)?;
    let mut pauses = [Vec::new(), Vec::new()];
    for _ in 0..arguments.rounds {
        for (stop, pauses) in [false, true].into_iter().zip(&mut pauses) {
            await_holder(case, &site, "lvs1")?;
            let pause = pause(case, &site, || {
                if stop {
                    site.director("lvs1").does(case.stop()).map(drop)
                } else {
                    site.crash("lvs1")
                }
            })?;
            pauses.push(pause);
            if !stop {
                site.boot("lvs1")?;
            }
            site.director("lvs1").does(case.start())?;
        }
    }
    for (what, mut pauses) in ["crash", "planned"].into_iter().zip(pauses) {
        pauses.sort();
        let pauses: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
        println!("{case:?}, {what}: {pauses:?} ms");
    }
    if arguments.explain {
        for name in ["lvs1", "lvs2"] {
            let log = "tail -n 60 /var/log/ha-log; tail -n 60 /var/log/ldirectord.log";
            println!("{name}: {}", site.run(name, log)?.said);
        }
    }
    Ok(())
}

/// Follows the page up to the first failure.
fn prepare(case: Case, site: &mut Site) -> Result<()> {
    let mut page = case.page();
    page.follow(site, "The real servers");
    page.follow(site, "The directors");
    for name in ["lvs1", "lvs2"] {
        site.director(name).does(case.adapt())?;
    }
    let address = SocketAddr::new(case.address(), RealServer::PORT);
    if case.has_director() {
        for (name, own) in [("www1", 11), ("www2", 12)] {
            let own = SocketAddr::new([10, 0, 0, own].into(), RealServer::PORT);
            let asked = if case.is_keepalived() { own } else { address };
            site.answer_datagrams(name, asked)?;
        }
    } else {
        for name in ["lvs1", "lvs2"] {
            // They answer as soon as the address is there.
            site.director(name)
                .does("sysctl -w net.ipv4.ip_nonlocal_bind=1")?;
            site.answer_datagrams(name, address)?;
        }
    }
    match case {
        Case::Keepalived => page.follow(site, "Start"),
        Case::HeartbeatPeers => page.follow(site, "Connection replication"),
        Case::Heartbeat | Case::KeepalivedAlone | Case::HeartbeatAlone => {
            for name in ["lvs1", "lvs2"] {
                site.director(name).does(case.start())?;
            }
        }
    }
    Ok(())
}

/// Waits until a director holds the address, and has answered a stream without a break for a while.
fn await_holder(case: Case, site: &Site, name: &str) -> Result<()> {
    let shown = format!("ip -4 -o address show to {} | wc -l", case.address());
    let holds = |name: &str| site.run(name, &shown).is_ok_and(|said| said.said == "1\n");
    let other = if name == "lvs1" { "lvs2" } else { "lvs1" };
    ensure!(
        eventually(Site::PATIENCE, || holds(name) && !holds(other)),
        "{name} does not take {}",
        case.address()
    );
    let is_calm = || {
        stream(case, site).is_ok_and(|stream| {
            std::thread::sleep(CALM);
            let pauses = stream.stop();
            pauses.answered > 100 && pauses.longest < CALM / 10
        })
    };
    ensure!(
        eventually(Site::PATIENCE, is_calm),
        "{} does not answer without a break",
        case.address()
    );
    Ok(())
}

fn stream(case: Case, site: &Site) -> Result<Datagrams> {
    let interval = Duration::from_millis(2);
    Datagrams::start(&site.namespace("client"), case.address(), interval)
}

/// The longest pause around something.
fn pause(case: Case, site: &Site, change: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let stream = stream(case, site)?;
    std::thread::sleep(Duration::from_millis(500));
    let before = stream.answered();
    change().context("the change")?;
    let changed = Instant::now();
    ensure!(before > 0, "no answers before the change");
    // Answers to what was sent before are no sign.
    let goes_on = || {
        let count = stream.answered();
        std::thread::sleep(Duration::from_millis(500));
        changed.elapsed() > Duration::from_secs(3) && stream.answered() > count + 100
    };
    ensure!(eventually(Site::PATIENCE, goes_on), "it does not go on");
    Ok(stream.stop().longest)
}
