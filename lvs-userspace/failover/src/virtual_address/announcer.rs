//! Announcements and probes on an interface, and the claims of other hosts there.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use lvs_common::abi::Mac;
use lvs_dataplane::kernel::PacketSocket;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use socket2::SockFilter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::frame::{self, Claim};

/// Room for a frame in bytes: more than the decoded part of any.
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

/// A socket on an interface, for one address family. Claims of other hosts are reported until it is dropped.
pub(super) struct Announcer {
    index: u32,
    mac: Mac,
    /// The machine forwards packets of this interface: it is a router to its neighbours.
    router: bool,
    socket: Arc<PacketSocket>,
    listener: JoinHandle<()>,
}

impl Announcer {
    /// Opens a socket on an interface, for the family of an address.
    pub(super) fn open(
        interface: &str,
        family: IpAddr,
        claims: mpsc::Sender<Claim>,
    ) -> io::Result<Self> {
        let (index, mac) = identity(interface)?;
        let socket = if family.is_ipv4() {
            PacketSocket::open(index, ETH_P_ARP, &[])?
        } else {
            PacketSocket::open(index, ETH_P_IPV6, &ADVERTISEMENTS)?
        };
        let socket = Arc::new(socket);
        let listener = tokio::spawn(listen(Arc::clone(&socket), claims));
        Ok(Self {
            index,
            mac,
            router: forwards(interface),
            socket,
            listener,
        })
    }

    /// True while the interface has the index and the Ethernet address that it had when it was opened.
    pub(super) fn is_current(&self, interface: &str) -> bool {
        !self.listener.is_finished()
            && identity(interface).is_ok_and(|(index, mac)| index == self.index && mac == self.mac)
    }

    /// Announces an address.
    pub(super) fn announce(&self, address: IpAddr) -> io::Result<()> {
        for frame in frame::announcement(address, self.mac, self.router) {
            self.socket.send(&frame)?;
        }
        Ok(())
    }

    /// Probes for other hosts that hold an address.
    pub(super) fn probe(&self, address: IpAddr) -> io::Result<()> {
        let frame = frame::probe(address, self.mac);
        self.socket.send(&frame)
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(socket: Arc<PacketSocket>, claims: mpsc::Sender<Claim>) {
    let mut frame = [0; LONGEST];
    loop {
        match socket.receive(&mut frame).await {
            Ok(length) => {
                if let Some(claim) = frame.get(..length).and_then(frame::claim) {
                    // Of more claims than there is room for, enough are left.
                    let _ = claims.try_send(claim);
                }
            }
            // The interface is down, and may come up again.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(_) => return,
        }
    }
}

/// True if neighbours on an interface resolve its addresses: none do on a loopback, where an address stands
/// for a routing daemon to announce. One that is not there is taken for an ordinary one.
pub(crate) fn has_neighbours(interface: &str) -> bool {
    let without = InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP;
    let found = getifaddrs().ok().and_then(|mut all| {
        all.find(|found| found.interface_name == interface)
            .map(|found| found.flags)
    });
    found.is_none_or(|flags| !flags.intersects(without))
}

fn identity(interface: &str) -> io::Result<(u32, Mac)> {
    let index = if_nametoindex(interface)?;
    let mac = getifaddrs()?
        .filter(|found| found.interface_name == interface)
        .find_map(|found| found.address?.as_link_addr()?.addr());
    let mac = mac.ok_or_else(|| io::Error::other("it has no Ethernet address"))?;
    Ok((index, mac))
}

/// Names of interfaces have no slash: see [`lvs_api::virtual_address::VirtualAddress`].
fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
}
