//! The control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Group that may use the socket besides root, if it exists.
const GROUP: &str = "lvs";

/// A control socket under a temporary name: it is published when the daemon is ready.
pub(crate) struct Socket {
    listener: std::os::unix::net::UnixListener,
    private: PathBuf,
    path: PathBuf,
}

impl Socket {
    /// Creates the socket with its permissions.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let private = path.with_extension("new");
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
            private,
            path: path.to_owned(),
        })
    }

    /// Moves it to its path. No other daemon listens there: the data path's lock is ours.
    pub(crate) fn publish(self) -> io::Result<UnixListener> {
        fs::rename(&self.private, &self.path)?;
        UnixListener::from_std(self.listener)
    }
}
