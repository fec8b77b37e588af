//! The sockets of all probes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use lvs_dataplane::service_path::{ProbePath, Unavailable};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Protocol, Socket, Type};
use tokio::net::{TcpSocket, UdpSocket};

use super::Probe;
use crate::path::Path;

/// A TCP socket for a connection to an address: the check's target, or one that an answer of the target
/// names.
pub(super) async fn tcp(probe: &Probe<'_>, to: SocketAddr) -> io::Result<TcpSocket> {
    if let Some((socket, _)) = by_service(probe, to, Type::STREAM, Protocol::TCP).await? {
        return Ok(TcpSocket::from_std_stream(socket.into()));
    }
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(source) = probe.endpoint.source_for(to) {
        // Leaves the choice of a port to connect(): bind() alone would need one that is free for
        // every destination, and there are 28,000 of them for thousands of probes each second.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

/// A UDP socket that is connected to the check's target: it receives only from there, ICMP errors too.
pub(super) async fn udp(probe: &Probe<'_>) -> io::Result<UdpSocket> {
    let target = probe.target();
    if let Some((socket, _)) = by_service(probe, target, Type::DGRAM, Protocol::UDP).await? {
        socket.connect(&target.into())?;
        return UdpSocket::from_std(socket.into());
    }
    let source = probe.endpoint.source_for(target).unwrap_or(match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    let socket = UdpSocket::bind(SocketAddr::new(source, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// A socket for packets to the virtual address by way of the server, and the address that it is bound to.
/// None: an ordinary one will do.
pub(super) async fn by_service(
    probe: &Probe<'_>,
    to: SocketAddr,
    kind: Type,
    protocol: Protocol,
) -> io::Result<Option<(Socket, SocketAddr)>> {
    let Path::Service { address, method } = probe.endpoint.path else {
        return Ok(None);
    };
    // An answer may name another host.
    if to.ip() != address.ip() {
        return Ok(None);
    }
    let path = probe.service_path.ok_or_else(|| {
        let why = "probes have no network stack of their own".to_owned();
        io::Error::other(Unavailable(why))
    })?;
    let by_server = ProbePath {
        to,
        server: probe.endpoint.server.ip(),
        method,
        source: probe.endpoint.source,
    };
    let Some((socket, entry)) = path.socket(&by_server, kind, protocol).await? else {
        return Ok(None);
    };
    let from = entry.from;
    let mut entries = probe.path_entries.lock();
    entries.push(entry);
    Ok(Some((socket, from)))
}
