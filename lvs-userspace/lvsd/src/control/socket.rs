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

/// Group that may use the socket besides root, if it exists.
const GROUP: &str = "lvs";

/// Time in which a daemon that is ending closes its socket: its data path may be free a moment earlier.
const ENDING: Duration = Duration::from_secs(1);

/// Refuses a path at which another daemon listens, whose data path is another one: that daemon could not be reached any
/// more, and what is kept beside the socket (role, overrides) is its own.
pub(crate) fn refuse_taken(path: &Path) -> io::Result<()> {
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
            return Err(io::Error::other(
                "another lvsd listens there, for another data path: give this one interfaces, --bpffs and --socket of \
                 its own, or have that one end",
            ));
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
    /// The socket that systemd passes to the service that it starts because of a client (socket activation), else a
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
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
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

    /// Moves a new one to its path. No other daemon listens there: see [`refuse_taken`].
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
        assert!(refuse_taken(&path).is_ok());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = refuse_taken(&path).unwrap_err().to_string();
        assert!(error.contains("--socket"), "{error}");
        // What a daemon that was killed left.
        drop(listener);
        assert!(refuse_taken(&path).is_ok());
        assert!(path.exists());
    }
}
