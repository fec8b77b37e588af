//! A health check of a real server. It is complete: two that are equal are the same probe, which is
//! made once for all virtual services.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lvs_process::user::User;

use super::checker::Checker;
use super::path::Endpoint;
pub use super::path::Path;
use super::probe::external::External;

/// One health check of one real server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The kind of the probe.
    pub kind: Kind,
    /// The real server's address, and the port that is checked.
    pub target: SocketAddr,
    /// The way there.
    pub path: Path,
    /// Address that the probe comes from; none: the kernel chooses.
    pub source: Option<IpAddr>,
    /// User that its command runs as, if it runs one; none: the default user.
    pub user: Option<User>,
    /// Longest time until there is a connection.
    pub connect_timeout: Duration,
    /// Longest time for the whole of it, the connection included.
    pub timeout: Duration,
}

impl Check {
    /// The same check by no more than a connection: what [`Kind::Combined`] does between its
    /// negotiations.
    #[must_use]
    pub fn connecting(&self) -> Self {
        Self {
            kind: Kind::Connect,
            ..self.clone()
        }
    }

    /// True if a probe runs a command.
    pub fn runs_command(&self) -> bool {
        match &self.kind {
            Kind::External(_) => true,
            Kind::Negotiate(checker) | Kind::Combined { checker, .. } => checker.program.is_some(),
            Kind::On | Kind::Off | Kind::Connect | Kind::Ping { .. } => false,
        }
    }

    /// Returns whether a second probe may be made while one is under way: it is known to do no harm, and its time is the
    /// server's alone, as that of a command is not.
    pub(super) fn is_repeatable(&self) -> bool {
        match &self.kind {
            Kind::Negotiate(checker) | Kind::Combined { checker, .. } => {
                checker.repeatable && checker.program.is_none()
            }
            Kind::External(_) => false,
            Kind::On | Kind::Off | Kind::Connect | Kind::Ping { .. } => true,
        }
    }

    /// The part of the check that a probe of any kind knows.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint {
            server: self.target,
            path: self.path,
            source: self.source,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }
    }
}

/// The kind of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// None: the server is up.
    On,
    /// None: the server is never made up by a check.
    Off,
    /// A TCP connection.
    Connect,
    /// ICMP echo requests.
    Ping {
        /// Echo requests that may go unanswered, and one more.
        attempts: u32,
    },
    /// The protocol of the service.
    Negotiate(Checker),
    /// [`Kind::Negotiate`] at first and after any failure, then this many times [`Kind::Connect`].
    Combined {
        /// The negotiation.
        checker: Checker,
        /// Connections between two negotiations; at least 1.
        connects: u32,
    },
    /// A command.
    External(External),
}

impl Kind {
    /// Name of the check in the file.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Connect => "connect",
            Self::Ping { .. } => "ping",
            Self::External(_) => "external",
            Self::Negotiate(checker) | Self::Combined { checker, .. } => checker.name(),
        }
    }
}
