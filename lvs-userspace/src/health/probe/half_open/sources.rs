//! The addresses that half-open connections come from: the kernel knows them, but a raw socket's checksum needs
//! them, too.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

/// How long an address that packets come from is taken to be the right one: routes change.
const SOURCES: Duration = Duration::from_secs(10);

/// The addresses that packets come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// Asks the kernel; nothing is sent.
    socket: UdpSocket,
    known: HashMap<IpAddr, IpAddr>,
    since: Instant,
}

impl Sources {
    /// To be asked about the family of this address.
    pub(super) fn new(any: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            socket: UdpSocket::bind(any)?,
            known: HashMap::new(),
            since: Instant::now(),
        })
    }

    /// Forgets them: one was not there any more.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// The address that the kernel takes for packets to there.
    pub(super) fn to(&mut self, to: SocketAddr, now: Instant) -> io::Result<IpAddr> {
        if now - self.since > SOURCES {
            self.known.clear();
            self.since = now;
        }
        if let Some(known) = self.known.get(&to.ip()) {
            return Ok(*known);
        }
        // It would keep the address of the last one.
        rustix::net::connect_unspec(&self.socket)?;
        self.socket.connect(to)?;
        let source = self.socket.local_addr()?.ip();
        self.known.insert(to.ip(), source);
        Ok(source)
    }
}
