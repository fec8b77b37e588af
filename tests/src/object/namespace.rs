//! The network namespace that the frames of a thread come into: one interface, by which routes lead to all clients.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

/// What `ip` sets up: [`super::INTERFACE`], the other end of its wire, and a router whose Ethernet address is that of
/// all clients' frames.
const LINES: &str = "\
link set lo up
link add front index 2 address 02:00:00:00:00:0d type veth peer name wire index 3
link set front up
link set wire up
neigh add 10.255.255.1 lladdr 02:00:00:00:00:0c dev front
neigh add fd00:ffff::1 lladdr 02:00:00:00:00:0c dev front
route add default via 10.255.255.1 dev front onlink
route add unreachable 198.18.0.0/16
route add 198.19.0.0/16 dev wire
route add default via fd00:ffff::1 dev front onlink
";

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// `SIOCSIFHWADDR`.
const SET_ADDRESS: libc::c_ulong = 0x8924;

/// Has the calling thread enter a namespace of its own.
pub(super) fn enter() -> Result<()> {
    if INSIDE.replace(true) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start ip")?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(LINES.as_bytes())?;
    }
    ensure!(ip.wait()?.success(), "ip failed");
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
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: plain old data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"front") {
        *to = from.cast_signed();
    }
    let mut hardware = libc::sockaddr {
        sa_family: libc::ARPHRD_ETHER,
        sa_data: [0; 14],
    };
    for (to, from) in hardware.sa_data.iter_mut().zip(address) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_hwaddr = hardware;
    // SAFETY: the kernel reads a request that is whole.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SET_ADDRESS, &raw const request) };
    if answer != 0 {
        return Err(io::Error::last_os_error()).context("cannot set the interface's address");
    }
    Ok(())
}
