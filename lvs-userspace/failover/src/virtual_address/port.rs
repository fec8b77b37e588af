//! An interface as frames of one address family leave and enter it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use lvs_common::abi::Mac;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use socket2::SockFilter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::frame::{self, Claim};
use lvs_dataplane::kernel::Frames;

/// Longer than any frame that is looked at.
const LONGEST: usize = 128;
/// `linux/if_ether.h`.
const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;

/// `ldb [20]; jne 58; ldb [54]; jne 136; accept`: neighbour advertisements among all IPv6 packets.
const ADVERTISEMENTS: [SockFilter; 6] = [
    SockFilter::new(0x30, 0, 0, 20),
    SockFilter::new(0x15, 0, 3, 58),
    SockFilter::new(0x30, 0, 0, 54),
    SockFilter::new(0x15, 0, 1, 136),
    SockFilter::new(0x06, 0, 0, 0xffff),
    SockFilter::new(0x06, 0, 0, 0),
];

/// An open interface; what others claim on it is reported until it is dropped.
pub(super) struct Port {
    index: u32,
    mac: Mac,
    /// The machine forwards packets of this interface: it is a router to its neighbours.
    router: bool,
    frames: Arc<Frames>,
    listener: JoinHandle<()>,
}

impl Port {
    /// Opens an interface for the family of an address.
    pub(super) fn open(
        interface: &str,
        family: IpAddr,
        claims: mpsc::Sender<Claim>,
    ) -> io::Result<Self> {
        let (index, mac) = identity(interface)?;
        let frames = if family.is_ipv4() {
            Frames::open(index, ETH_P_ARP, &[])?
        } else {
            Frames::open(index, ETH_P_IPV6, &ADVERTISEMENTS)?
        };
        let frames = Arc::new(frames);
        let listener = tokio::spawn(listen(Arc::clone(&frames), claims));
        Ok(Self {
            index,
            mac,
            router: forwards(interface),
            frames,
            listener,
        })
    }

    /// Whether the interface still is what it was when it was opened.
    pub(super) fn is_current(&self, interface: &str) -> bool {
        !self.listener.is_finished()
            && identity(interface).is_ok_and(|(index, mac)| index == self.index && mac == self.mac)
    }

    /// Says that an address is here.
    pub(super) fn announce(&self, address: IpAddr) -> io::Result<()> {
        for frame in frame::announcement(address, self.mac, self.router) {
            self.frames.send(&frame)?;
        }
        Ok(())
    }

    /// Asks whether an address is elsewhere.
    pub(super) fn probe(&self, address: IpAddr) -> io::Result<()> {
        let frame = frame::probe(address, self.mac);
        self.frames.send(&frame)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(frames: Arc<Frames>, claims: mpsc::Sender<Claim>) {
    let mut frame = [0; LONGEST];
    loop {
        match frames.receive(&mut frame).await {
            Ok(length) => {
                if let Some(claim) = frame.get(..length).and_then(frame::claim) {
                    // Whoever claims more than can be heard is heard often enough.
                    let _ = claims.try_send(claim);
                }
            }
            // The interface is down, and may come up again.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(_) => return,
        }
    }
}

/// Whether anybody finds addresses of an interface by asking: nobody does on a loopback, where an address
/// stands for a routing daemon to tell of. One that is not there is taken for an ordinary one.
pub(super) fn is_asked(interface: &str) -> bool {
    let silent = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP;
    let found = getifaddrs().ok().and_then(|mut all| {
        all.find(|found| found.interface_name == interface)
            .map(|found| found.flags)
    });
    found.is_none_or(|flags| !flags.intersects(silent))
}

fn identity(interface: &str) -> io::Result<(u32, Mac)> {
    let index = if_nametoindex(interface)?;
    let mac = getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address?.as_link_addr()?.addr());
    let mac = mac.ok_or_else(|| io::Error::other("it has no Ethernet address"))?;
    Ok((index, mac))
}

/// Names of interfaces have no slash: see [`super::VirtualAddress`].
fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
}
