//! Failures of verbs: message and exit code.

use std::io::{self, ErrorKind};

use lvs_api::client::ClientError;

use crate::options::BROKEN_PIPE;

/// Exit code of a wrong command line, or without a daemon, as for ipvsadm's commands.
pub(super) const USAGE: u8 = 2;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// A service or server that does not exist.
    #[error("{0}")]
    Unknown(String),
    #[error("{0}")]
    Usage(String),
    #[error("that is more than one virtual service: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// While it followed events.
    #[error(
        "lvsd disconnected this client, to make room for others or as it took nothing for a minute, or was killed: \
         events are no longer followed"
    )]
    Disconnected,
    /// While it traced packets.
    #[error("lvsd stopped, or made room for other clients: packets are no longer traced")]
    TraceEnded,
    #[error("cannot write to standard output")]
    Output(#[from] io::Error),
}

impl Failure {
    /// A service or server that does not exist, with the names of those that do.
    pub(super) fn unknown(what: &str, name: &str, there: &[String]) -> Self {
        let there = if there.is_empty() {
            "there are none: lvsd checks the services of a file (lvsd FILE start)".to_owned()
        } else {
            format!("there are {}", there.join(", "))
        };
        Self::Unknown(format!("there is no {what} {name}; {there}"))
    }

    /// A virtual service that is not in the tables, with those that are.
    pub(super) fn no_service(name: &str, there: &[String]) -> Self {
        let there = match there {
            [] => "there are none".to_owned(),
            there => format!("there are {}", there.join(", ")),
        };
        Self::Unknown(format!("there is no virtual service {name}; {there}"))
    }

    /// The message; `None` for an output that was closed, which ends quietly.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => None,
            Self::Daemon(ClientError::NotRunning { .. }) => Some(format!(
                "{self}: start it with `lvsd FILE start` (see `lvsd --help`)"
            )),
            _ => {
                let cause = std::error::Error::source(self);
                Some(cause.map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}")))
            }
        }
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Daemon(ClientError::Refused(_)) | Self::Unknown(_) | Self::Ambiguous(_) => 255,
            Self::Daemon(_) | Self::Usage(_) => USAGE,
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => BROKEN_PIPE,
            Self::Output(_) | Self::Disconnected | Self::TraceEnded => 1,
        }
    }
}
