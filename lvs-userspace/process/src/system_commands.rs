//! Commands that act on the system: they keep the privileges that the daemon was started with.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::children;

/// A command to be started, the runtime that waits for it, and whoever is told.
type Request = (Command, Handle, oneshot::Sender<io::Result<Child>>);

/// The thread that starts them.
static STARTER: OnceLock<Sender<Request>> = OnceLock::new();

/// Makes the thread that starts them, with the privileges of the calling thread: capabilities and system call filters
/// belong to threads, and a child has those of the thread that starts it.
///
/// # Errors
///
/// There can be no thread.
pub fn keep_privileges() -> io::Result<()> {
    let (requests, received) = channel::<Request>();
    thread::Builder::new()
        .name("commands".to_owned())
        .spawn(move || {
            for (command, runtime, answer) in received {
                let _entered = runtime.enter();
                // Whoever asked may have given up; then the command is not started, or ended at once.
                children::start_for(command, answer);
            }
        })?;
    // A second daemon in one process would have the same privileges.
    let _ = STARTER.set(requests);
    Ok(())
}

/// Starts a command. Without the thread: by the calling one.
///
/// # Errors
///
/// It cannot be started.
pub async fn spawn(mut command: Command) -> io::Result<Child> {
    let Some(starter) = STARTER.get() else {
        return children::start(&mut command);
    };
    let gone = || io::Error::other("the thread that starts commands has ended");
    let (answer, started) = oneshot::channel();
    let request = (command, Handle::current(), answer);
    starter.send(request).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}
