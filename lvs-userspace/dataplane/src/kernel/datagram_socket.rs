//! Disconnects UDP sockets, which std cannot.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// Takes a connected socket's peer from it, and the source address that came with it.
pub(crate) fn disconnect(socket: &UdpSocket) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: 0, // AF_UNSPEC
        sa_data: [0; 14],
    };
    let length = libc::socklen_t::try_from(size_of_val(&nobody)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads as many bytes as are given of the address, which is alive (connect(2)).
    let answer = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, length) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
