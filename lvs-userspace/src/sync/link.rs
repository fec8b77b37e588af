//! The sockets that sync messages travel through.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use thiserror::Error;

use super::{DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL};
use crate::control::sync::{SyncDaemon, SyncRole};

/// How long a backup waits for a message before it looks whether it is to go on.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of messages that may wait for a backup that is held up.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Bytes of a master's messages that may wait for the network.
const SEND_BUFFER: usize = 1 << 20;
/// What messages are made to fit, whatever the interface could carry: IPVS's choice, too.
const COMMON_MTU: u16 = 1500;
/// Shortest buffer of a backup.
const MIN_RECEIVED: u16 = 1024;

/// Why a daemon's socket could not be made.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LinkError {
    #[error("there is no interface {0}")]
    NoInterface(String),
    #[error("the interface {0} has no IPv4 address")]
    NoAddress(String),
    #[error("cannot {what} on the interface {interface}")]
    Socket {
        what: &'static str,
        interface: String,
        source: io::Error,
    },
}

/// A sync daemon's socket, and the interface it belongs to.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: UdpSocket,
    interface: String,
    index: NonZeroU32,
}

impl Link {
    /// Joins the group (backup) or gets ready to send to it (master).
    pub(super) fn open(daemon: &SyncDaemon) -> Result<Self, LinkError> {
        let interface = &daemon.interface;
        let index = index(interface).ok_or_else(|| LinkError::NoInterface(interface.clone()))?;
        let group = SocketAddr::new(
            daemon.group.unwrap_or(DEFAULT_GROUP),
            daemon.port.unwrap_or(DEFAULT_PORT),
        );
        let group = match group {
            SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, index.get()).into(),
            SocketAddr::V4(_) => group,
        };
        let own = match (daemon.role, group) {
            (SyncRole::Master, SocketAddr::V4(_)) => {
                own_address(interface).ok_or_else(|| LinkError::NoAddress(interface.clone()))?
            }
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let made = make(daemon, index, group, own);
        let (what, socket) = match made {
            Ok(socket) => {
                return Ok(Self {
                    socket: socket.into(),
                    interface: interface.clone(),
                    index,
                });
            }
            Err(failed) => failed,
        };
        Err(LinkError::Socket {
            what,
            interface: interface.clone(),
            source: socket,
        })
    }

    /// Whether its interface still is the one it was opened on.
    pub(super) fn is_current(&self) -> bool {
        index(&self.interface) == Some(self.index)
    }
}

fn index(interface: &str) -> Option<NonZeroU32> {
    if_nametoindex(interface).ok().and_then(NonZeroU32::new)
}

/// The first IPv4 address of an interface, which messages come from.
fn own_address(interface: &str) -> Option<Ipv4Addr> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?;
    addresses
        .filter(|address| address.interface_name == interface)
        .find_map(|address| Some(address.address?.as_sockaddr_in()?.ip()))
}

type Failed = (&'static str, io::Error);

fn make(
    daemon: &SyncDaemon,
    index: NonZeroU32,
    group: SocketAddr,
    own: Ipv4Addr,
) -> Result<Socket, Failed> {
    let step = |what| move |error| (what, error);
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))
        .map_err(step("make a socket"))?;
    socket
        .bind_device(Some(daemon.interface.as_bytes()))
        .map_err(step("bind a socket"))?;
    match daemon.role {
        SyncRole::Master => {
            let ttl = daemon.ttl.unwrap_or(DEFAULT_TTL).into();
            let options = match group {
                SocketAddr::V4(_) => socket
                    .set_multicast_loop_v4(false)
                    .and_then(|()| socket.set_multicast_ttl_v4(ttl))
                    .and_then(|()| socket.set_multicast_if_v4(&own))
                    .and_then(|()| socket.bind(&SocketAddr::new(own.into(), 0).into())),
                SocketAddr::V6(_) => socket
                    .set_multicast_loop_v6(false)
                    .and_then(|()| socket.set_multicast_hops_v6(ttl))
                    .and_then(|()| socket.set_multicast_if_v6(index.get())),
            };
            options.map_err(step("multicast"))?;
            // More than the system's limit is asked for; what it gives will do.
            let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER);
            socket
                .connect(&group.into())
                .map_err(step("reach the group"))?;
        }
        SyncRole::Backup => {
            let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
            socket
                .set_reuse_address(true)
                .and_then(|()| socket.bind(&group.into()))
                .map_err(step("listen to the group"))?;
            join(&socket, group.ip(), index).map_err(step("join the group"))?;
            socket
                .set_read_timeout(Some(PATIENCE))
                .map_err(step("listen to the group"))?;
        }
    }
    Ok(socket)
}

fn join(socket: &Socket, group: IpAddr, index: NonZeroU32) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index.get()))
        }
        IpAddr::V6(group) => socket.join_multicast_v6(&group, index.get()),
    }
}

/// Bytes of a message at most, without the headers of IP and UDP.
pub(super) fn max_length(daemon: &SyncDaemon) -> u16 {
    let headers = if daemon.group.unwrap_or(DEFAULT_GROUP).is_ipv4() {
        28
    } else {
        48
    };
    let shortest = match daemon.role {
        SyncRole::Master => 1,
        SyncRole::Backup => MIN_RECEIVED,
    };
    let length = daemon.max_length.unwrap_or(COMMON_MTU - headers);
    length.clamp(shortest, u16::MAX - headers)
}
