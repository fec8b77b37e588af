//! The network namespace that the frames of a thread come into: one interface, by which routes lead to all clients.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// What `ip` sets up: [`super::INTERFACE`], the other end of its wire, and a router whose Ethernet address is that of
/// all clients' frames.
const LINES: &str = "\
link set lo up
link add front index 2 address 02:00:00:00:00:0d type veth peer name wire index 3
link set front up
link set wire up
route add default via 10.255.255.1 dev front onlink
route add unreachable 198.18.0.0/16
route add 198.19.0.0/16 dev wire
route add default via fd00:ffff::1 dev front onlink
";

/// The router.
const NEIGHBOURS: &str = "\
neigh replace 10.255.255.1 lladdr 02:00:00:00:00:0c dev front
neigh replace fd00:ffff::1 lladdr 02:00:00:00:00:0c dev front
";

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The Ethernet address of the interface.
    static ADDRESS: Cell<[u8; 6]> = const { Cell::new([2, 0, 0, 0, 0, 0xd]) };
}

/// Has the calling thread enter a namespace of its own.
pub(super) fn enter() -> Result<()> {
    if INSIDE.replace(true) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    ip(LINES)?;
    ip(NEIGHBOURS)?;
    for family in ["ipv4", "ipv6"] {
        let setting = format!("/proc/sys/net/{family}/conf/front/forwarding");
        fs::write(&setting, "1").with_context(|| format!("cannot set {setting}"))?;
    }
    Ok(())
}

/// Makes the destination of a frame the interface's Ethernet address, so that the kernel takes the frame for one that
/// is for this host. Addresses of groups are nobody's.
pub(super) fn take_address(frame: &[u8]) -> Result<()> {
    enter()?;
    let Some(address) = frame
        .first_chunk::<6>()
        .filter(|address| address[0] & 1 == 0)
    else {
        return Ok(());
    };
    if *address == [0; 6] {
        return Ok(());
    }
    if ADDRESS.replace(*address) == *address {
        return Ok(());
    }
    let address = address.map(|byte| format!("{byte:x}")).join(":");
    // Neighbours are forgotten with the address.
    let lines = format!("link set front address {address}\n{NEIGHBOURS}");
    ip(&lines)
}

/// Gives `ip` commands, one a line.
fn ip(lines: &str) -> Result<()> {
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start ip")?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(lines.as_bytes())?;
    }
    ensure!(ip.wait()?.success(), "ip failed");
    Ok(())
}
