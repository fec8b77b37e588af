//! Where the sockets of probes are made, and nowhere else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, UdpSocket};

use super::super::check::{Check, Path};

/// A TCP socket that is to be connected to an address: the check's target, or where an answer of the
/// target points to.
pub(super) fn tcp(check: &Check, to: SocketAddr) -> io::Result<TcpSocket> {
    own_path(check)?;
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = source_for(check, to) {
        // Leaves the choice of a port to connect(): bind() alone would need one that is free for
        // every destination, and there are 28,000 of them for thousands of probes each second.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// A UDP socket that is connected to the check's target: it hears only from there, ICMP errors too.
pub(super) async fn udp(check: &Check) -> io::Result<UdpSocket> {
    own_path(check)?;
    let source = source_for(check, check.target).unwrap_or(match check.target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await?;
    socket.connect(check.target).await?;
    Ok(socket)
}

/// The address to ask from, if it is of the family of the one that is asked.
pub(super) fn source_for(check: &Check, to: SocketAddr) -> Option<IpAddr> {
    check
        .source
        .filter(|source| source.is_ipv4() == to.is_ipv4())
}

pub(super) fn own_path(check: &Check) -> io::Result<()> {
    match check.path {
        Path::Own => Ok(()),
        Path::Service { .. } => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "checkpath = service is not built in",
        )),
    }
}
