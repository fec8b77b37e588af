//! Packets carried between two hosts in user space: by a tun device at each end, as a VPN makes it, or by tap devices,
//! as a virtual machine has them.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::namespace::Namespace;
use super::udp::Workers;

/// `TUNSETIFF`.
const SET_INTERFACE: libc::c_ulong = 0x4004_54ca;
/// How long an end without packets is left alone.
const PAUSE: Duration = Duration::from_micros(100);

/// Kind of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Packets without an Ethernet header.
    Tun,
    /// Ethernet frames.
    Tap,
}

impl Kind {
    const fn flag(self) -> libc::c_int {
        match self {
            Self::Tun => libc::IFF_TUN,
            Self::Tap => libc::IFF_TAP,
        }
    }
}

/// A tunnel; its devices go with it.
pub struct Tunnel {
    _workers: Workers,
}

impl Tunnel {
    /// Makes a device of this kind and name in both namespaces. They are down and have no addresses.
    pub fn between(kind: Kind, one: &Namespace, other: &Namespace, name: &str) -> Result<Self> {
        let ends = [open(kind, one, name)?, open(kind, other, name)?];
        let mut workers = Workers::new();
        for (from, to) in [(0, 1), (1, 0)] {
            let (mut from, mut to) = (ends[from].try_clone()?, ends[to].try_clone()?);
            let mut packet = vec![0; 65_536];
            workers.repeat(move || match from.read(&mut packet) {
                // What the other end does not take is lost, as anywhere.
                Ok(length) => drop(to.write(&packet[..length])),
                Err(_) => thread::sleep(PAUSE),
            });
        }
        Ok(Self { _workers: workers })
    }
}

/// Opens a device: checksums are finished, and no packet is larger than its MTU.
fn open(kind: Kind, namespace: &Namespace, name: &str) -> Result<File> {
    let open = || {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        // SAFETY: plain old data.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
            *to = from.cast_signed();
        }
        let flags = kind.flag() | libc::IFF_NO_PI;
        request.ifr_ifru.ifru_flags = i16::try_from(flags).unwrap_or_default();
        // SAFETY: the kernel reads a request that is whole.
        let answer = unsafe { libc::ioctl(file.as_raw_fd(), SET_INTERFACE, &raw const request) };
        if answer == 0 {
            Ok(file)
        } else {
            Err(io::Error::last_os_error())
        }
    };
    namespace
        .enter(open)?
        .with_context(|| format!("cannot make the device {name}"))
}
