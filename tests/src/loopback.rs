//! The loopback of a network namespace that a thread has for itself: by it come the socket buffers of a test.

use std::cell::Cell;
use std::io;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// `SIOCSIFHWADDR`.
const SET_ADDRESS: libc::c_ulong = 0x8924;

/// Makes the destination of a frame the loopback's Ethernet address, so that the kernel takes the frame for one that
/// is for this host. Addresses of groups are nobody's.
pub(crate) fn take_address(frame: &[u8]) -> Result<()> {
    if !OWN.replace(true) {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    }
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
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    let mut hardware = libc::sockaddr {
        sa_family: libc::ARPHRD_LOOPBACK,
        sa_data: [0; 14],
    };
    for (to, from) in hardware.sa_data.iter_mut().zip(address) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_hwaddr = hardware;
    // SAFETY: the kernel reads a request that is whole.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SET_ADDRESS, &raw const request) };
    if answer != 0 {
        return Err(io::Error::last_os_error()).context("cannot set the loopback's address");
    }
    Ok(())
}
