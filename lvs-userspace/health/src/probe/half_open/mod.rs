//! Half-open connections: a SYN is sent, and what comes back is all there is to know of the server.
//!
//! All of a family go through one pair of raw sockets. The kernel's TCP knows nothing of them: it answers
//! the server's SYN by a reset (RFC 9293, section 3.10.7.1), and so the connection is over there, too,
//! before the server's program hears of it. A socket for each can be made to do the same (see
//! [`super::connect`]), but making, watching and closing it takes more work than all the rest.

mod filter;
mod ready;
mod segment;
mod sockets;
mod source;

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use socket2::Domain;

pub use self::ready::Ready;
pub use self::segment::Ports;
use self::sockets::Sockets;
pub use self::sockets::{Heard, Syn};
pub use self::source::Source;

/// Begins connections to servers, of all families that the machine speaks.
#[derive(Debug)]
pub struct HalfOpen {
    ipv4: Sockets,
    /// A kernel may be without.
    ipv6: Option<Sockets>,
    /// Sequence numbers that nobody foresees: an answer that was made up elsewhere hits none.
    numbers: (RandomState, u64),
}

impl HalfOpen {
    /// Opens the sockets.
    ///
    /// # Errors
    /// There are none to be had: that takes CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            ipv4: Sockets::open(Domain::IPV4)?,
            ipv6: Sockets::open(Domain::IPV6).ok(),
            numbers: (RandomState::new(), 0),
        })
    }

    /// Whether there is more than IPv4.
    pub const fn speaks_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    /// What begins a connection, and has not been sent yet.
    ///
    /// # Errors
    /// There is no way to there.
    pub fn syn(&mut self, to: SocketAddr, source: &mut Source, now: Instant) -> io::Result<Syn> {
        let (random, count) = &mut self.numbers;
        *count += 1;
        #[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
        let number = random.hash_one(*count) as u32;
        self.of(to)?.syn(to, source, number, now)
    }

    /// Sends it, again perhaps.
    ///
    /// # Errors
    /// The network is known not to get there, or the director cannot send it.
    pub fn send(&self, syn: &Syn) -> io::Result<()> {
        self.of(syn.to)?.send(syn)
    }

    /// Passes on what was said of connections. False: there may be more.
    pub fn hear(&self, mut tell: impl FnMut(Heard)) -> bool {
        let all = self.ipv4.hear(&mut tell);
        self.ipv6.as_ref().is_none_or(|ipv6| ipv6.hear(tell)) && all
    }

    /// Tells when something was said, within this runtime.
    ///
    /// # Errors
    /// The runtime cannot watch more files.
    pub fn ready(&self) -> io::Result<Ready> {
        let ipv6 = self.ipv6.as_ref().map(Sockets::back).transpose()?;
        Ready::new(self.ipv4.back()?, ipv6)
    }

    fn of(&self, to: SocketAddr) -> io::Result<&Sockets> {
        let sockets = match to {
            SocketAddr::V4(_) => Some(&self.ipv4),
            SocketAddr::V6(_) => self.ipv6.as_ref(),
        };
        sockets.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}
