//! The thread that makes probes: a runtime of its own, for as long as the process lives.
//!
//! The daemon's runtime has several threads, of which one wakes another for every few answers: with thousands of
//! probes a second that takes more than the probes themselves.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};

/// Starts the thread; probes are spawned on the handle.
pub(crate) fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("probes".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
