//! Live frames: generator, director and sink on one core, joined by a veth pair in a network namespace
//! of the bench's own.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::case::{By, Case};
use super::frame::DIRECTOR;
use super::rig::{Rig, Slice};

/// The generator's end, where answers arrive.
const NEAR: &str = "near";
/// The director's end.
const FAR: &str = "far";

/// Frames of one measurement.
const FRAMES: u32 = 2_000_000;

/// Enters a network namespace of its own, which ends with the process, and makes the veth pair.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["link", "add", NEAR, "type", "veth", "peer", "name", FAR])?;
    // The kernel says whom a socket buffer is for.
    let address = DIRECTOR.map(|byte| format!("{byte:02x}")).join(":");
    ip(&["link", "set", FAR, "address", &address])?;
    ip(&["link", "set", NEAR, "up"])?;
    ip(&["link", "set", FAR, "up"])?;
    // What the kernel forwards leaves where it came from, of which it is not to tell anybody.
    for interface in ["all", FAR] {
        let setting = format!("/proc/sys/net/ipv4/conf/{interface}/send_redirects");
        fs::write(&setting, "0").with_context(|| format!("cannot set {setting}"))?;
    }
    // The way to clients.
    for (family, router) in [("ipv4", "10.255.255.1"), ("ipv6", "fd00:ffff::1")] {
        let setting = format!("/proc/sys/net/{family}/conf/{FAR}/forwarding");
        fs::write(&setting, "1").with_context(|| format!("cannot set {setting}"))?;
        let neighbour = ["lladdr", "02:00:00:00:00:0c", "dev", FAR];
        ip(&[&["neigh", "add", router][..], &neighbour].concat())?;
        ip(&[
            "route", "add", "default", "via", router, "dev", FAR, "onlink",
        ])?;
    }
    set_gro(true)
}

/// Has the far end merge packets of a connection or not. Only with that or a native program it takes frames from one.
fn set_gro(on: bool) -> Result<()> {
    run(
        "ethtool",
        &["-K", FAR, "gro", if on { "on" } else { "off" }],
    )
}

/// Index of the interface that frames come by.
pub fn interface() -> Result<u32> {
    Ok(if_nametoindex(FAR)?)
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        status.success(),
        "`{program} {}` failed",
        arguments.join(" ")
    );
    Ok(())
}

/// Nanoseconds per frame from the generator through a program and back to the sink, each round with the
/// director and with a program that only sends frames back.
pub fn measure(case: &Case, rounds: usize) -> Result<Vec<Vec<Slice>>> {
    let (near, far) = (if_nametoindex(NEAR)?, if_nametoindex(FAR)?);
    let mut rig = Rig::new(case, far)?;
    rig.leave_drops_uncounted()?;
    let rounds = rig.fill(case).and_then(|()| {
        rig.bench.attach("sink", NEAR)?;
        let rounds = 0..rounds.max(1);
        rounds.map(|_| round(&mut rig, case, near)).collect()
    });
    // Also when a round failed: nothing is left behind.
    rig.remove()?;
    rounds
}

fn round(rig: &mut Rig, case: &Case, near: u32) -> Result<Vec<Slice>> {
    rig.plan(case, case.payload(), case.towards, false);
    let mut time = |program: &str, by: By| -> Result<f64> {
        let attached = match by {
            By::Native => rig.bench.attach(program, FAR).map(|()| None)?,
            By::Generic => rig.bench.attach_generic(program, FAR).map(|()| None)?,
            By::Tc => {
                rig.bench.attach("pass", FAR)?;
                set_gro(false)?;
                Some(rig.attach_tc(FAR)?)
            }
            By::TcGro => Some(rig.attach_tc(FAR)?),
            By::Kernel => {
                rig.bench.attach("pass", FAR)?;
                set_gro(false)?;
                None
            }
        };
        let before = rig.bench.settings().arrived;
        let time = rig.bench.send(near, FRAMES)?;
        let arrived = rig.bench.settings().arrived - before;
        drop(attached);
        set_gro(true)?;
        rig.bench.unload("pass")?;
        rig.bench.unload(program)?;
        // A few more may: the kernel itself looks for neighbours there.
        ensure!(
            arrived >= u64::from(FRAMES),
            "only {arrived} of {FRAMES} frames arrived"
        );
        Ok(time.as_secs_f64() * 1e9)
    };
    Ok(vec![Slice {
        director: time("live", case.by)?,
        floor: time("reflect", By::Native)?,
        yardstick: None,
    }])
}
