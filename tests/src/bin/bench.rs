//! `cargo xtask bench`: what the packet path costs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use lvs_tests::bench::case::{self, Case};
use lvs_tests::bench::live;
use lvs_tests::bench::report::{Report, Row, row};
use lvs_tests::bench::rig::{Rig, Slice};
use lvs_userspace::model::Method;

/// Measure what the packet path costs.
///
/// Every case runs the real program in the kernel on flows in random order, beside the same harness
/// around an empty function ("floor"), in slices of a few milliseconds. The least time of each slice
/// counts; "net" is the difference to the floor, "median" that of the medians. "yardstick" is what
/// the least program that forwards by the same table takes on the same machine. Rows named "live" send frames through a veth pair, generator,
/// director and sink on one core: there "net" is the whole time per frame, and "floor" that of a
/// program that only sends frames back.
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

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    pin();
    live::enter()?;
    let mut report = Report::default();
    Report::begin();
    for case in case::all(arguments.quick) {
        if !case.name.contains(&arguments.only) {
            continue;
        }
        let row = measure(&case, arguments.rounds)
            .with_context(|| format!("the case \"{}\" failed", case.name))?;
        report.add(row);
    }
    for case in case::all(arguments.quick) {
        let named = format!("live {}", case.name);
        let live = !case.udp && !case.ipv6 && !case.new && case.method == Method::Direct;
        if !live
            || case.expected() != 3
            || !named.contains(&arguments.only)
            || case.flows > 16 << 10
        {
            continue;
        }
        let time = live::measure(&case, "live", arguments.rounds)
            .with_context(|| format!("the case \"{named}\" failed"))?;
        let floor = live::measure(&case, "reflect", arguments.rounds)?;
        report.add(Row {
            name: named,
            net_ns: time,
            median_ns: time,
            floor_ns: floor,
            yardstick_ns: None,
            mpps: Some(1e3 / time),
        });
    }
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    Ok(())
}

fn measure(case: &Case, rounds: usize) -> Result<Row> {
    // The interface that the kernel's test runs pretend frames came by.
    const LOOPBACK: u32 = 1;
    let mut rig = Rig::new(case, LOOPBACK)?;
    let times = times(&mut rig, case, rounds);
    // Also when a round failed: nothing is left behind.
    rig.remove()?;
    let times = times?;
    Ok(row(&case.name, &times))
}

fn times(rig: &mut Rig, case: &Case, rounds: usize) -> Result<Vec<Vec<Slice>>> {
    if !case.new {
        rig.fill(case)?;
    }
    (0..rounds.max(1)).map(|_| rig.round(case)).collect()
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
