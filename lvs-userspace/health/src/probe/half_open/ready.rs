//! When there is something to hear.

use std::io::{self, ErrorKind};

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Waits for what is said of half-open connections.
#[derive(Debug)]
pub struct Ready {
    ipv4: UdpSocket,
    ipv6: Option<UdpSocket>,
}

/// What came, and what an ICMP message says.
const HEARD: Interest = Interest::READABLE.add(Interest::ERROR);

impl Ready {
    /// Of these sockets: to the runtime raw ones are like any other.
    pub(super) fn new(
        ipv4: std::net::UdpSocket,
        ipv6: Option<std::net::UdpSocket>,
    ) -> io::Result<Self> {
        Ok(Self {
            ipv4: UdpSocket::from_std(ipv4)?,
            ipv6: ipv6.map(UdpSocket::from_std).transpose()?,
        })
    }

    /// Waits until something may have come since this returned last.
    pub async fn wait(&self) {
        let ipv6 = async {
            match &self.ipv6 {
                Some(ipv6) => come(ipv6).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = come(&self.ipv4) => {}
            () = ipv6 => {}
        }
    }
}

async fn come(socket: &UdpSocket) {
    // It fails only with the runtime.
    if socket.ready(HEARD).await.is_ok() {
        // Nobody takes anything through this: what comes from now on is to be told of again.
        let nothing = || io::Result::<()>::Err(ErrorKind::WouldBlock.into());
        let _ = socket.try_io(HEARD, nothing);
    }
}
