//! The sockets that sync messages travel through.

use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use lvs_api::sync::{DEFAULT_GROUP, DEFAULT_PORT, DEFAULT_TTL, SyncDaemon, SyncRole};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, getsockopt, recvmsg, setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use thiserror::Error;

/// Time that a backup waits for a message before it looks whether it is to go on.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of messages that may wait for a backup that is held up.
const RECEIVE_BUFFER: u32 = 8 << 20;
/// Bytes of a master's messages that may wait for the network.
const SEND_BUFFER: u32 = 1 << 20;
/// MTU that messages are made to fit, whatever the interface could carry: IPVS's choice, too.
const COMMON_MTU: u16 = 1500;
/// Bytes of a backup's buffer at least.
const MIN_RECEIVED: u16 = 1024;

/// The reason why a daemon's socket could not be made.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SocketError {
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
pub(super) struct SyncSocket {
    socket: UdpSocket,
    /// The group and its first port.
    group: SocketAddr,
    interface: String,
    index: NonZeroU32,
    /// Messages that found the buffer full, in all, as the kernel counted last.
    overflowed: Cell<u32>,
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    /// Its bytes, from the start of the buffer.
    pub(super) length: usize,
    /// Datagrams before it that found the buffer full.
    pub(super) overflowed: u32,
}

impl SyncSocket {
    /// Joins the group (backup) or gets ready to send to it (master), with a buffer of so many bytes; 0: of the
    /// system's default.
    pub(super) fn open(daemon: &SyncDaemon, buffer: Option<u32>) -> Result<Self, SocketError> {
        let interface = &daemon.interface;
        let index = index(interface).ok_or_else(|| SocketError::NoInterface(interface.clone()))?;
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
                own_address(interface).ok_or_else(|| SocketError::NoAddress(interface.clone()))?
            }
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let made = make(daemon, index, group, own, buffer);
        let (what, source) = match made {
            Ok(socket) => {
                return Ok(Self {
                    socket: socket.into(),
                    group,
                    interface: interface.clone(),
                    index,
                    overflowed: Cell::default(),
                });
            }
            Err(failed) => failed,
        };
        Err(SocketError::Socket {
            what,
            interface: interface.clone(),
            source,
        })
    }

    /// Sends a message to one of the group's ports, counted from the first one.
    pub(super) fn send(&self, message: &[u8], port: usize) -> io::Result<()> {
        let mut to = self.group;
        let port = u16::try_from(port).map_err(io::Error::other)?;
        to.set_port(to.port().saturating_add(port));
        self.socket.send_to(message, to).map(drop)
    }

    /// Waits for a message, but not longer than [`PATIENCE`].
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(u32);
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags)?;
        let mut overflowed = 0;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::RxqOvfl(all) = control {
                overflowed = all.wrapping_sub(self.overflowed.replace(all));
            }
        }
        Ok(Datagram {
            length: message.bytes,
            overflowed,
        })
    }

    /// True while its interface is the one that it was opened on.
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
    buffer: Option<u32>,
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
            if let Some(bytes) = bytes(buffer, SEND_BUFFER) {
                setsockopt(&socket, sockopt::SndBufForce, &bytes)
                    .map_err(|error| ("set the buffer of a socket", error.into()))?;
            }
            // It is the first port; a datagram for another one says so.
            socket
                .connect(&group.into())
                .map_err(step("reach the group"))?;
        }
        SyncRole::Backup => {
            if let Some(bytes) = bytes(buffer, RECEIVE_BUFFER) {
                setsockopt(&socket, sockopt::RcvBufForce, &bytes)
                    .map_err(|error| ("set the buffer of a socket", error.into()))?;
            }
            setsockopt(&socket, sockopt::RxqOvfl, &1)
                .map_err(|error| ("count what a socket drops", error.into()))?;
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

/// Bytes to ask for, if any: the system's own limit (`net.core.rmem_max`) does not count.
fn bytes(wanted: Option<u32>, own: u32) -> Option<usize> {
    let bytes = wanted.unwrap_or(own) as usize;
    (bytes > 0).then_some(bytes)
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
    // A master's messages fit every interface, a backup takes what its own could carry (`set_sync_mesg_maxlen`).
    let mtu = || match daemon.role {
        SyncRole::Master => COMMON_MTU,
        SyncRole::Backup => mtu(&daemon.interface).unwrap_or(0).max(COMMON_MTU),
    };
    let length = daemon.max_length.unwrap_or_else(|| mtu() - headers);
    length.clamp(shortest, u16::MAX - headers)
}

/// MTU of an interface: that of the way to a group on it.
fn mtu(interface: &str) -> Option<u16> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.bind_device(Some(interface.as_bytes())).ok()?;
    let group = SocketAddr::new(DEFAULT_GROUP, DEFAULT_PORT);
    socket.connect(&group.into()).ok()?;
    let mtu = getsockopt(&socket, sockopt::IpMtu).ok()?;
    // That of the loopback interface is 65,536.
    Some(u16::try_from(mtu).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_the_kernels() {
        let length =
            |role, group: &str, max_length| max_length_of(role, group.parse().unwrap(), max_length);
        let (v4, v6) = ("224.0.0.81", "ff02::81");
        for (role, least) in [(SyncRole::Master, 1), (SyncRole::Backup, 1_024)] {
            assert_eq!(length(role, v4, None), 1_472);
            assert_eq!(length(role, v6, None), 1_452);
            assert_eq!(length(role, v4, Some(1_200)), 1_200);
            assert_eq!(length(role, v4, Some(1)), least);
            assert_eq!(length(role, v4, Some(u16::MAX)), 65_507);
            assert_eq!(length(role, v6, Some(65_507)), 65_487);
        }
    }

    fn max_length_of(role: SyncRole, group: IpAddr, max_length: Option<u16>) -> u16 {
        super::max_length(&SyncDaemon {
            role,
            interface: "eth0".to_owned(),
            syncid: 0,
            group: Some(group),
            port: None,
            ttl: None,
            max_length,
        })
    }
}
