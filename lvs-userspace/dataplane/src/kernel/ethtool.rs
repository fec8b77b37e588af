//! Offloads of interfaces (`linux/ethtool.h`).

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// An offload that can be switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Checksums of packets that are sent are completed by the interface, not before.
    TxChecksum,
    /// Segments are merged on their way in.
    Gro,
}

impl Feature {
    /// `ETHTOOL_GTXCSUM` and `ETHTOOL_GGRO`; to set it is one more.
    const fn request(self) -> u32 {
        match self {
            Self::TxChecksum => 0x16,
            Self::Gro => 0x2b,
        }
    }
}

/// True if the offload is on, for an interface of the calling thread's network namespace.
pub fn get(interface: &str, feature: Feature) -> io::Result<bool> {
    Ok(ethtool(interface, feature.request(), 0)? != 0)
}

/// Switches the offload, for an interface of the calling thread's network namespace.
pub fn set(interface: &str, feature: Feature, on: bool) -> io::Result<()> {
    ethtool(interface, feature.request() + 1, u32::from(on)).map(drop)
}

/// True if the driver takes VLAN tags off the frames that it receives. An interface that does not tell keeps them.
pub fn takes_tags_off(interface: &str) -> bool {
    /// `ETHTOOL_GFLAGS`, and `ETH_FLAG_RXVLAN` of what it answers.
    const FLAGS: u32 = 0x25;
    const RX_VLAN: u32 = 1 << 8;
    ethtool(interface, FLAGS, 0).is_ok_and(|flags| flags & RX_VLAN != 0)
}

/// `SIOCETHTOOL` with a `struct ethtool_value`; returns the value that the kernel leaves there.
fn ethtool(interface: &str, command: u32, value: u32) -> io::Result<u32> {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value {
        command,
        data: value,
    };
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all zeroes is a `struct ifreq`: an empty name and a null pointer.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request ends its name with a zero and points to a value that is alive during the
    // call and as large as all four commands take it to be.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value.data)
}
