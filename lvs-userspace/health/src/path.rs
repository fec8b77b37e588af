//! The way of a probe to the real server.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_api::model::Method;

/// The way of a probe to the real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Path {
    /// To the server's own address.
    #[default]
    Own,
    /// To the virtual address by way of this server, as clients' packets go.
    Service {
        /// The virtual address and port.
        address: SocketAddr,
        /// Forwarding method of the server.
        method: Method,
    },
}

/// The part of a check that a probe of any kind knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    /// The real server's address, and the port that is checked.
    pub(crate) server: SocketAddr,
    /// The way there.
    pub(crate) path: Path,
    /// Address that the probe comes from; none: the kernel chooses.
    pub(crate) source: Option<IpAddr>,
    /// Longest time until there is a connection.
    pub(crate) connect_timeout: Duration,
    /// Longest time of the whole probe.
    pub(crate) timeout: Duration,
}

impl Endpoint {
    /// The address that is connected to: the server, or the virtual address by way of it.
    pub(crate) fn target(&self) -> SocketAddr {
        match self.path {
            Path::Own => self.server,
            Path::Service { address, .. } => address,
        }
    }

    /// The source address, if it is of the family of this destination.
    pub(crate) fn source_for(&self, to: SocketAddr) -> Option<IpAddr> {
        self.source
            .filter(|source| source.is_ipv4() == to.is_ipv4())
    }
}
