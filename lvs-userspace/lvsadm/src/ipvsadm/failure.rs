//! Failures of ipvsadm's commands: message and exit code.

use std::io::{self, ErrorKind};

use lvs_api::client::ClientError;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_ipvsadm::error::UsageError;

use crate::options::BROKEN_PIPE;

/// A command that failed.
#[derive(Debug)]
pub(super) enum Failure {
    Usage(UsageError),
    Daemon(ClientError),
    /// A service that was to be listed does not exist.
    NothingToList,
    /// So many rules of netfilter were not imported; each was reported with its reason.
    NotImported(usize),
    /// A command among those of `-R --atomic` that cannot be undone.
    NotAtomic,
    /// Standard output went away or is full.
    Output(io::Error),
    /// The commands could not be read.
    Input(io::Error),
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Daemon(error)
    }
}

/// All I/O of a session but reading commands is printing.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// The message; `None` for an output that was closed, which ends quietly.
    pub(super) fn message(&self) -> Option<String> {
        Some(match self {
            Self::Usage(error) => error.to_string(),
            Self::Daemon(error) => daemon_message(error),
            Self::NothingToList => kernel_text(RefusalKind::NoSuchService).to_owned(),
            Self::NotImported(rules) => {
                format!("not imported: {rules} of the rules that set a mark")
            }
            Self::NotAtomic => {
                "only changes of virtual services and real servers can be atomic".to_owned()
            }
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => return None,
            Self::Output(error) => format!("cannot write to standard output: {error}"),
            Self::Input(error) => format!("cannot read standard input: {error}"),
        })
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(error) => error.exit_code(),
            Self::Daemon(ClientError::Refused(_)) => 255,
            Self::Daemon(error) if is_permission(error) => 255,
            Self::Daemon(_) | Self::NotAtomic => 2,
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => BROKEN_PIPE,
            Self::NothingToList | Self::NotImported(_) | Self::Output(_) | Self::Input(_) => 1,
        }
    }

    /// False for failures after which `-R` goes on, as ipvsadm's does: refusals and unknown options.
    pub(super) fn ends_restore(&self) -> bool {
        match self {
            Self::Usage(error) => error.ends_restore(),
            Self::Daemon(ClientError::Refused(_)) => false,
            _ => true,
        }
    }
}

fn daemon_message(error: &ClientError) -> String {
    match error {
        ClientError::Refused(Refusal { kind, message }) => match kind {
            // ipvsadm's text alone does not help: the reason is this director's own.
            RefusalKind::NotSupported | RefusalKind::NoRoom | RefusalKind::Internal => {
                format!("{}\n{message}", kernel_text(*kind))
            }
            RefusalKind::BadSetting => message.clone(),
            _ => kernel_text(*kind).to_owned(),
        },
        ClientError::NotRunning { .. } => {
            format!(
                "{error}: start it with `lvsd --interface IF` (see `lvsd --help`), or once and for all with \
                 `systemctl enable --now lvsd-tables.socket`: then the first command starts it"
            )
        }
        ClientError::Connect { socket, .. } if is_permission(error) => format!(
            "{}\n{} is open to root and to the members of its group.",
            kernel_text(RefusalKind::NotPermitted),
            socket.display()
        ),
        _ => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

fn is_permission(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Connect { source, .. } if source.kind() == ErrorKind::PermissionDenied
    )
}

/// ipvsadm's text for an error of the kernel.
fn kernel_text(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::ServiceExists => "Service already exists",
        RefusalKind::UnknownScheduler => "Scheduler or persistence engine not found",
        RefusalKind::NoSuchService => "No such service",
        RefusalKind::ServiceNotDefined => "Service not defined",
        RefusalKind::ServerExists => "Destination already exists",
        RefusalKind::NoSuchServer => "No such destination",
        RefusalKind::NotPermitted => "Permission denied (you must be root)",
        RefusalKind::Invalid => {
            "Invalid operation.  Possibly wrong module version, address not unicast, ..."
        }
        RefusalKind::OutOfRange => "Numerical result out of range",
        RefusalKind::NoRoom => "Memory allocation problem",
        RefusalKind::NotSupported => "Operation not supported",
        RefusalKind::DaemonRunning => "Daemon has already run",
        RefusalKind::NoDaemon => "No daemon is running",
        RefusalKind::NoDevice => "No such device",
        RefusalKind::BadSetting => "Invalid argument",
        RefusalKind::Internal => "lvsd failed to do it",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn refused(kind: RefusalKind) -> Failure {
        let message = "because of this".to_owned();
        Failure::Daemon(ClientError::Refused(Refusal { kind, message }))
    }

    #[test]
    fn refusals_are_printed_as_ipvsadm_prints_them() {
        use RefusalKind as K;
        for (kind, text) in [
            (K::ServiceExists, "Service already exists"),
            (
                K::UnknownScheduler,
                "Scheduler or persistence engine not found",
            ),
            (K::NoSuchService, "No such service"),
            (K::ServiceNotDefined, "Service not defined"),
            (K::ServerExists, "Destination already exists"),
            (K::NoSuchServer, "No such destination"),
            (K::NotPermitted, "Permission denied (you must be root)"),
            (
                K::Invalid,
                "Invalid operation.  Possibly wrong module version, address not unicast, ...",
            ),
            (K::OutOfRange, "Numerical result out of range"),
            (K::NoRoom, "Memory allocation problem\nbecause of this"),
            (K::NotSupported, "Operation not supported\nbecause of this"),
            (K::DaemonRunning, "Daemon has already run"),
            (K::NoDaemon, "No daemon is running"),
            (K::NoDevice, "No such device"),
            (K::Internal, "lvsd failed to do it\nbecause of this"),
        ] {
            let failure = refused(kind);
            assert_eq!(failure.message().as_deref(), Some(text));
            assert_eq!(failure.exit_code(), 255);
            assert!(!failure.ends_restore());
        }
    }

    #[test]
    fn a_missing_daemon_is_reported_with_the_remedy() {
        let failure = Failure::Daemon(ClientError::NotRunning {
            socket: PathBuf::from("/run/lvs/lvsd.sock"),
        });
        assert_eq!(
            failure.message().as_deref(),
            Some(
                "lvsd is not running at /run/lvs/lvsd.sock: start it with `lvsd --interface IF` \
                 (see `lvsd --help`), or once and for all with `systemctl enable --now \
                 lvsd-tables.socket`: then the first command starts it"
            )
        );
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.ends_restore());
    }

    #[test]
    fn a_broken_pipe_ends_quietly() {
        let failure = Failure::Output(ErrorKind::BrokenPipe.into());
        assert_eq!(
            (failure.message(), failure.exit_code()),
            (None, BROKEN_PIPE)
        );
    }

    #[test]
    fn missing_permission_is_printed_as_ipvsadm_prints_it() {
        let failure = Failure::Daemon(ClientError::Connect {
            socket: PathBuf::from("/run/lvs/lvsd.sock"),
            source: ErrorKind::PermissionDenied.into(),
        });
        let message = failure.message().expect("a message");
        assert!(message.starts_with("Permission denied (you must be root)\n/run/lvs/lvsd.sock"));
        assert_eq!(failure.exit_code(), 255);
    }
}
