//! Live frames: generator, director and sink on one core, joined by a veth pair in a network namespace
//! of the bench's own.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::case::Case;
use super::frame::{Payload, SYN, Towards};
use super::rig::Rig;

/// The generator's end, where answers arrive.
const NEAR: &str = "near";
/// The director's end.
const FAR: &str = "far";

/// Frames of one measurement.
const FRAMES: u32 = 2_000_000;

/// Flows that are half-open at once while the table is filled.
const PORTION: u32 = 512;

/// Enters a network namespace of its own, which ends with the process, and makes the veth pair.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", NEAR, "type", "veth", "peer", "name", FAR])?;
    ip(&["link", "set", NEAR, "up"])?;
    ip(&["link", "set", FAR, "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip")
        .args(arguments)
        .status()
        .context("cannot start ip")?;
    ensure!(status.success(), "`ip {}` failed", arguments.join(" "));
    Ok(())
}

/// Nanoseconds per frame from the generator through the program and back to the sink.
pub fn measure(case: &Case, program: &str, rounds: usize) -> Result<f64> {
    let (near, far) = (if_nametoindex(NEAR)?, if_nametoindex(FAR)?);
    let mut rig = Rig::new(case, far)?;
    rig.harness.attach("sink", NEAR)?;
    rig.harness.attach(program, FAR)?;
    let mut best = f64::INFINITY;
    // Flows are established in portions, as in `Rig::fill`: half-open ones crowd each other out.
    let mut done = 0;
    while done < case.flows {
        let now = PORTION.min(case.flows - done);
        for payload in [Payload::Tcp(SYN), case.payload()] {
            rig.plan(case, payload, Towards::Server, true);
            let mut plan = rig.harness.plan();
            plan.next = done;
            rig.harness.set_plan(plan);
            rig.harness.send(near, now)?;
        }
        done += now;
    }
    for _ in 0..rounds {
        rig.plan(case, case.payload(), Towards::Server, false);
        let before = rig.harness.plan().arrived;
        let time = rig.harness.send(near, FRAMES)?;
        let arrived = rig.harness.plan().arrived - before;
        // A few more may: the kernel itself looks for neighbours there.
        ensure!(
            arrived >= u64::from(FRAMES),
            "only {arrived} of {FRAMES} frames arrived"
        );
        best = best.min(time.as_secs_f64() * 1e9);
    }
    rig.remove()?;
    Ok(best)
}
