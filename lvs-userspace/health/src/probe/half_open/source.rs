//! The addresses that half-open connections come from: the kernel knows them, but a raw socket's checksum needs
//! them, too.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an address that packets come from is taken to be the right one: routes change.
const RIGHT: Duration = Duration::from_secs(10);

/// The address that connections to one server come from.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    told: Option<IpAddr>,
    /// What the kernel said, and when.
    found: Option<(IpAddr, Instant)>,
}

impl Source {
    /// This one, or the one that the kernel takes.
    pub const fn new(told: Option<IpAddr>) -> Self {
        Self { told, found: None }
    }

    /// Whether it is the one that was asked for.
    pub(super) const fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// The address, for packets to there.
    pub(super) fn to(
        &mut self,
        to: SocketAddr,
        routes: &Routes,
        now: Instant,
    ) -> io::Result<IpAddr> {
        let found = self.found.filter(|(_, when)| now - *when < RIGHT);
        if let Some(known) = self.told.or(found.map(|(found, _)| found)) {
            return Ok(known);
        }
        let found = routes.source(to)?;
        self.found = Some((found, now));
        Ok(found)
    }
}

/// Asks the kernel about its routes.
#[derive(Debug)]
pub(super) struct Routes {
    /// Nothing is sent.
    socket: UdpSocket,
}

impl Routes {
    /// To be asked about the family of this address.
    pub(super) fn new(any: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(any)?;
        Ok(Self { socket })
    }

    /// The address that the kernel takes for packets to there.
    pub(super) fn source(&self, to: SocketAddr) -> io::Result<IpAddr> {
        // It would keep the address of the last one.
        rustix::net::connect_unspec(&self.socket)?;
        self.socket.connect(to)?;
        Ok(self.socket.local_addr()?.ip())
    }
}
