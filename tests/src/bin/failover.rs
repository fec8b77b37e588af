//! Measures failover: lost connections, broken downloads, and the longest pause of a stream of datagrams.
//!
//! Two directors, three real servers, every forwarding method. First the role is handed over again and again,
//! then during downloads, then the master crashes.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lvs_api::model::Family;
use lvs_api::role::Role;
use lvs_tests::lab::addresses::{METHODS, virtual_address};
use lvs_tests::lab::director::every_service;
use lvs_tests::lab::traffic::{Datagrams, Idle, Pauses};
use lvs_tests::lab::{Client, Pair};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Measures failover between two directors in the lab
#[derive(Debug, Parser)]
struct Arguments {
    /// Idle TCP connections that have to answer afterwards, over all methods
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Handovers whose pauses are measured
    #[arg(long, default_value_t = 10)]
    handovers: u32,
    /// Bytes of each download
    #[arg(long, default_value_t = 200 << 20)]
    download: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let pair = Pair::new(arguments.download)?;
    for (number, role) in [(1, Role::Master), (2, Role::Backup)] {
        pair.start_linked(number, role, &every_service())?;
    }
    let client = pair.client.namespace();
    let mut idle = Vec::new();
    for method in METHODS {
        let address = virtual_address(Family::Ipv4, method);
        let each = arguments.connections.div_ceil(METHODS.len());
        idle.push(Idle::open(client, address, each)?);
    }
    let count: usize = idle.iter().map(Idle::len).sum();
    println!("{count} idle connections");
    pair.director(2).lvsadm("sync wait")?;

    let mut master = 1;
    for _ in 0..arguments.handovers {
        report("handover", &pair, || {
            pair.director(master).lvsadm("handover").map(drop)
        })?;
        master = 3 - master;
    }
    let mut fine = spoken("handovers", &mut idle);
    fine &= downloads(&pair, &mut master)?;
    if master == 2 {
        pair.director(2).lvsadm("handover")?;
    }
    // The remains of the last downloads are replicated within that time.
    pair.director(2).lvsadm("sync wait")?;
    report("crash, and the role at once", &pair, || {
        pair.crash(1)?;
        pair.director(2).lvsadm("role master --force").map(drop)
    })?;
    fine &= spoken("a crash", &mut idle);
    Ok(fine)
}

/// Measures the pauses around something, by every method.
fn report(what: &str, pair: &Pair, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let streams: Vec<_> = METHODS
        .into_iter()
        .map(|method| {
            let address = virtual_address(Family::Ipv4, method);
            let interval = Duration::from_millis(1);
            Datagrams::start(pair.client.namespace(), address, interval)
        })
        .collect::<Result<_>>()?;
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    change()?;
    let took = began.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    let mut pauses = Vec::new();
    for (stream, method) in streams.into_iter().zip(METHODS) {
        let Pauses {
            sent,
            answered,
            longest,
            late,
            ..
        } = stream.stop();
        let [longest, late] = [longest, late].map(|time| time.as_secs_f64() * 1000.0);
        pauses.push(format!(
            "{method:?} {longest:.1} ms, the stream itself late {late:.1} ms ({} of {sent} unanswered)",
            sent.saturating_sub(answered)
        ));
    }
    println!(
        "{what} took {} ms; longest pause: {}",
        took.as_millis(),
        pauses.join(", ")
    );
    Ok(())
}

/// True if every idle connection answers.
fn spoken(after: &str, idle: &mut [Idle]) -> bool {
    let lost: Vec<_> = idle.iter_mut().flat_map(Idle::speak).collect();
    let count: usize = idle.iter().map(Idle::len).sum();
    println!("after {after}: {} of {count} connections lost", lost.len());
    for why in lost.iter().take(5) {
        println!("  {why}");
    }
    lost.is_empty()
}

/// True if downloads by every method survive handovers.
fn downloads(pair: &Pair, master: &mut u8) -> Result<bool> {
    let original = fs::read(pair.large_file())?;
    let mut running = Vec::new();
    for method in METHODS {
        let url = Client::url(virtual_address(Family::Ipv4, method), "/large");
        let (file, curl) = pair.client.start_download(&url, &format!("{method:?}"))?;
        running.push((method, file, curl));
    }
    let began = Instant::now();
    let mut handovers = 0;
    let mut fine = true;
    while running
        .iter_mut()
        .any(|(.., curl)| matches!(curl.try_wait(), Ok(None)))
    {
        ensure!(began.elapsed() < Duration::from_mins(2), "downloads hang");
        std::thread::sleep(Duration::from_millis(100));
        pair.director(*master)
            .lvsadm("handover")
            .context("a handover during downloads")?;
        *master = 3 - *master;
        handovers += 1;
    }
    for (method, file, mut curl) in running {
        let whole = curl.wait()?.success() && fs::read(file)? == original;
        println!(
            "{} MB by {method:?} during {handovers} handovers: {}",
            original.len() >> 20,
            if whole { "intact" } else { "BROKEN" }
        );
        fine &= whole;
    }
    Ok(fine)
}
