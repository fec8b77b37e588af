//! The life of a daemon: start, serve, end.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lvs_dataplane::kernel::{memory, signals};
use lvs_process::children;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::interfaces::Interfaces;
use super::serve::{End, serve};
use super::settings::Settings;
use super::start::{remove_remains, start};

/// Longest wait at the end for work that blocks its thread.
const BLOCKED_THREADS: Duration = Duration::from_secs(5);

/// Runs the daemon until SIGTERM, SIGINT or SIGUSR2; at SIGUSR2 it withdraws nothing. `ready` is called once
/// the tables are set and requests are answered.
pub(crate) fn run(settings: &Settings, ready: impl FnOnce()) -> Result<()> {
    memory::share();
    signals::survive_file_size_limit();
    // To the end: whoever claims the socket next has it alone.
    let (started, _claim) = start(settings)?;
    let interfaces = Arc::clone(&started.interfaces);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let (fresh, own_socket) = (started.fresh, started.socket.is_own());
    let end = runtime.block_on(serve(settings, started, ready));
    // A thread that reads a file of a server that does not answer would be waited for without an end.
    runtime.shutdown_timeout(BLOCKED_THREADS);
    children::end_checks();
    let end = match end {
        Ok(end) => end,
        Err(error) => {
            drop(interfaces);
            if fresh {
                remove_remains(settings);
            }
            return Err(error);
        }
    };

    if own_socket && let Err(error) = fs::remove_file(&settings.socket) {
        warn!("cannot remove {}: {error}", settings.socket.display());
    }
    if settings.detach_on_exit && end == End::Stopped {
        detach(interfaces)
    } else {
        info!("the data path keeps forwarding; the next lvsd takes it over");
        Ok(())
    }
}

/// Removes the data path. No task holds the interfaces any more.
fn detach(interfaces: Arc<Mutex<Interfaces>>) -> Result<()> {
    let interfaces = Arc::into_inner(interfaces).map(Mutex::into_inner);
    if let Some(interfaces) = interfaces {
        interfaces.into_data_path().remove()?;
        info!("detached and removed the data path");
    } else {
        info!("the data path keeps forwarding; the next lvsd takes it over");
    }
    Ok(())
}
