//! The number of files that the daemon may have open.

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::info;

/// Files that the daemon needs besides the sockets of its probes.
pub(super) const OTHERS: u64 = 256;

/// Least number of sockets for probes.
pub(super) const SOCKETS: u64 = 64;

/// Raises the limit as far as it may be raised. An error if it stays too low: whatever needed the next file would
/// fail later, one thing after the other.
pub(super) fn raise() -> Result<()> {
    let (soft, hard) = limits()?;
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        info!("the limit of open files stays at {soft}: {error}");
    }
    let needed = OTHERS + SOCKETS;
    let limit = limit()?;
    if limit < needed {
        bail!(
            "lvsd may have {limit} files open, and needs {needed}: raise the hard limit (ulimit -Hn, LimitNOFILE= of \
             systemd)"
        );
    }
    Ok(())
}

/// The limit in force.
pub(super) fn limit() -> Result<u64> {
    limits().map(|(soft, _)| soft)
}

fn limits() -> Result<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE).context("cannot tell how many files may be open")
}
