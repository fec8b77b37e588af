//! This process's network namespace.

use std::io;
use std::os::fd::AsRawFd as _;

/// The kernel's cookie of this process's network namespace, as programs see it.
pub(super) fn cookie() -> io::Result<u64> {
    /// `SO_NETNS_COOKIE` of `asm-generic/socket.h`, from Linux 5.14 on.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0");
    let socket = socket.or_else(|_| std::net::UdpSocket::bind("0.0.0.0:0"))?;
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to the number, and how many it wrote to the length.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}
