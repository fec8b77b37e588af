//! The control socket.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use lvs_api::client::starting;
use tokio::net::{UnixListener, UnixStream};

use crate::lifecycle::{Liveness, PidFile, look};

/// Group that may use the socket besides root, if it exists.
const GROUP: &str = "lvs";

/// Time in which a daemon that is ending closes its socket.
const ENDING: Duration = Duration::from_secs(1);

/// The right to listen at a path, and to keep role and overrides beside it. One daemon has it, until it ends: a lock,
/// which the kernel releases whatever ends it.
pub(crate) struct Claim {
    _file: PidFile,
}

impl Claim {
    /// Claims a path, unless another daemon does or listens there: it could not be reached any more. One that is ending
    /// is waited for.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = path.with_extension("lock");
        let Some(mut file) = PidFile::lock(&lock)? else {
            let process = match look(&lock) {
                Ok(Liveness::Running(pid)) => format!(" (process {pid})"),
                _ => String::new(),
            };
            return Err(taken(&process));
        };
        // The number is for people only: a full disk holds up no start.
        let _ = file.write();
        refuse_taken(path)?;
        Ok(Self { _file: file })
    }
}

fn taken(process: &str) -> io::Error {
    io::Error::other(format!(
        "another lvsd{process} listens there: have it end, or give this one interfaces, --bpffs and --socket of its own"
    ))
}

/// Refuses a path at which a daemon listens that has no lock: one of an older version.
fn refuse_taken(path: &Path) -> io::Result<()> {
    if env::var_os("LISTEN_PID").is_some() {
        // It was passed, so it is there.
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let deadline = Instant::now() + ENDING;
    // Without waiting: one that is stopped answers nobody, but its socket takes connections, or is full.
    while runtime.block_on(is_listening(path)) {
        if Instant::now() >= deadline {
            return Err(taken(""));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

async fn is_listening(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// A control socket that is not served yet: one that was passed, or a new one under a temporary name, which is
/// published when the daemon is ready.
pub(crate) struct Socket {
    listener: std::os::unix::net::UnixListener,
    /// None: it was passed, and belongs to whoever passed it.
    private: Option<PathBuf>,
    path: PathBuf,
}

impl Socket {
    /// The socket of a path that was claimed: the one that systemd passes to the service that it starts because of a client (socket activation), else a
    /// new one with its permissions.
    ///
    /// To be called before other threads begin, as it changes the environment.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Without the process that they are for, they may be another's: systemd names it (sd_listen_fds(3)).
        let mut passed = if env::var_os("LISTEN_PID").is_some() {
            ListenFd::from_env()
        } else {
            ListenFd::empty()
        };
        if passed.len() > 1 {
            let number = passed.len();
            return Err(io::Error::other(format!(
                "{number} sockets were passed to lvsd, which has one: its control socket"
            )));
        }
        match passed.take_unix_listener(0)? {
            Some(listener) => Self::passed(listener, path),
            None => Self::bind(path),
        }
    }

    fn passed(listener: std::os::unix::net::UnixListener, path: &Path) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if address.as_pathname() != Some(path) {
            let named = address
                .as_pathname()
                .map_or("elsewhere".into(), Path::to_string_lossy);
            return Err(io::Error::other(format!(
                "the socket that was passed to lvsd listens at {named}: give lvsd that path by --socket"
            )));
        }
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            private: None,
            path: path.to_owned(),
        })
    }

    /// True if it is to be removed at the end.
    pub(crate) const fn is_own(&self) -> bool {
        self.private.is_some()
    }

    fn bind(path: &Path) -> io::Result<Self> {
        let private = starting(path);
        // A start that was killed may have left it.
        let _ = fs::remove_file(&private);
        let listener = std::os::unix::net::UnixListener::bind(&private)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&private, fs::Permissions::from_mode(0o660))?;
        if let Ok(Some(group)) = nix::unistd::Group::from_name(GROUP) {
            nix::unistd::chown(&private, None, Some(group.gid))?;
        }
        Ok(Self {
            listener,
            private: Some(private),
            path: path.to_owned(),
        })
    }

    /// Moves a new one to its path. No other daemon listens there: see [`Claim`].
    pub(crate) fn publish(self) -> io::Result<UnixListener> {
        if let Some(private) = &self.private {
            fs::rename(private, &self.path)?;
        }
        UnixListener::from_std(self.listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_while_somebody_listens_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lvs.sock");
        assert!(Claim::new(&path).is_ok());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let refused = |path: &Path| match Claim::new(path) {
            Ok(_) => panic!("it was claimed"),
            Err(error) => error.to_string(),
        };
        let error = refused(&path);
        assert!(error.contains("--socket"), "{error}");
        // What a daemon that was killed left.
        drop(listener);
        let claim = Claim::new(&path).unwrap();
        assert!(path.exists());
        let error = refused(&path);
        let process = format!("another lvsd (process {})", std::process::id());
        assert!(error.contains(&process), "{error}");
        drop(claim);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
