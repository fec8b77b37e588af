//! `cargo xtask bench`: what the packet path costs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lvs_api::model::Method;
use lvs_tests::bench::case::{self, Case};
use lvs_tests::bench::live;
use lvs_tests::bench::report::{Report, Row, row};
use lvs_tests::bench::rig::{self, Rig, Slice};

/// Measure what the packet path costs.
///
/// Every case runs the real program in the kernel on flows in random order, beside the same harness
/// around an empty function ("floor"), in slices of a few milliseconds. The least time of each slice
/// counts; "net" is the difference to the floor, "median" that of the medians. "yardstick" is what the
/// least program that forwards by the same table takes on the same machine. The programs are loaded
/// anew a few times: where in memory they happen to lie makes a difference of several nanoseconds.
///
/// Rows named "live" send frames through a veth pair, generator, director and sink on one core. Their
/// floor is a program that only sends frames back; a frame takes floor and net together, which is what
/// "Mpps" comes from. "tc" and "generic" see the same socket buffers, one for each frame; "with gro" the kernel
/// looks at each for others of its connection first, which costs a lone one time. "kernel" is its own forwarding.
#[derive(Parser)]
struct Arguments {
    /// Also write the results to this file, for machines.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rounds of each case.
    #[arg(long, value_name = "COUNT", default_value_t = 15)]
    rounds: usize,
    /// Only cases with one flow.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// Times that the programs are loaded for a case.
const LOADS: usize = 3;

/// Rounds of live frames: each is two million of them, and they vary less.
const LIVE_ROUNDS: usize = 5;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    pin();
    rig::clean_up()?;
    live::enter()?;
    let wanted = |case: &Case| case.name.contains(&arguments.only);
    let mut harnessed = case::all(arguments.quick);
    harnessed.retain(wanted);
    let mut live = case::live(arguments.quick);
    live.retain(wanted);
    let count = harnessed.len() + live.len();
    ensure!(count != 0, "no case is called like that");
    eprintln!("{count} cases, about ten seconds each");
    let mut report = Report::default();
    Report::begin();
    for case in harnessed {
        measure(&mut report, &case, arguments.rounds).with_context(|| failed(&case))?;
    }
    for case in live {
        let rounds = arguments.rounds.min(LIVE_ROUNDS);
        let times = live::measure(&case, rounds).with_context(|| failed(&case))?;
        let row = row(&case.name, &times);
        let mpps = Some(1e3 / (row.net_ns + row.floor_ns));
        report.add(Row { mpps, ..row });
    }
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    Ok(())
}

fn failed(case: &Case) -> String {
    format!("the case \"{}\" failed", case.name)
}

fn measure(report: &mut Report, case: &Case, rounds: usize) -> Result<()> {
    let mut rig = Rig::new(case, live::interface()?)?;
    let times = times(&mut rig, case, rounds);
    let swept = case.flows == 1 << 20 && !case.ipv6 && case.method == Method::Direct;
    let sweeps: Vec<Duration> = (0..rounds)
        .filter(|_| swept && times.is_ok())
        .map(|_| rig.sweep())
        .collect();
    // Also when a round failed: nothing is left behind.
    rig.remove()?;
    report.add(row(&case.name, &times?));
    report.add_sweep(sweeps.into_iter());
    Ok(())
}

fn times(rig: &mut Rig, case: &Case, rounds: usize) -> Result<Vec<Vec<Slice>>> {
    if !case.new {
        rig.fill(case)?;
    }
    let mut times = Vec::new();
    for _ in 0..LOADS {
        rig.renew()?;
        for _ in 0..rounds.div_ceil(LOADS) {
            times.push(rig.round(case)?);
        }
    }
    Ok(times)
}

/// Stays on one core.
fn pin() {
    let mut cores = nix::sched::CpuSet::new();
    let core = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
        .ok()
        .and_then(|cores| {
            (0..nix::sched::CpuSet::count())
                .rev()
                .find(|&core| cores.is_set(core).unwrap_or(false))
        })
        .unwrap_or(0);
    if cores.set(core).is_ok() {
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores);
    }
}
