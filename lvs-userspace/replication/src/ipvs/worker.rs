//! The thread of a sync daemon.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lvs_api::sync::{SyncDaemon, SyncDaemonStatus};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::socket::{PATIENCE, SocketError, SyncSocket};

/// From one look for the daemon's interface to the next.
const LOOK: Duration = Duration::from_secs(1);

/// The work of a daemon, turn by turn.
pub(super) trait Work: Send + 'static {
    /// One turn: at most about [`PATIENCE`] long.
    fn turn(&mut self, socket: &SyncSocket) -> io::Result<()>;
}

/// A sync daemon at work; it ends when this is dropped.
pub(super) struct Worker {
    daemon: SyncDaemon,
    state: Arc<WorkerState>,
    thread: Option<JoinHandle<()>>,
}

/// State that a daemon's thread shares with the others.
#[derive(Default)]
struct WorkerState {
    stop: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl WorkerState {
    fn set_problem(&self, problem: Option<String>) {
        let mut current = self.problem.lock();
        if *current != problem {
            if let Some(problem) = &problem {
                warn!("connections are not synchronized: {problem}");
            } else {
                info!("connections are synchronized again");
            }
        }
        *current = problem;
    }

    /// Waits; false: the daemon is to end.
    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stop.load(Ordering::Relaxed) {
            thread::sleep(PATIENCE.min(time));
        }
        !self.stop.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// Starts a daemon. Without a socket one is opened, with this buffer, as soon as its interface allows it.
    pub(super) fn start(
        daemon: SyncDaemon,
        buffer: Option<u32>,
        socket: Option<SyncSocket>,
        work: impl Work,
    ) -> io::Result<Self> {
        let state = Arc::new(WorkerState::default());
        let thread = {
            let (state, daemon) = (Arc::clone(&state), daemon.clone());
            thread::Builder::new()
                .name(format!("sync-{}", daemon.role.name()))
                .spawn(move || {
                    let open = || SyncSocket::open(&daemon, buffer);
                    run(&state, open, socket, work);
                })?
        };
        Ok(Self {
            daemon,
            state,
            thread: Some(thread),
        })
    }

    /// Its options, and what keeps it from running.
    pub(super) fn status(&self) -> SyncDaemonStatus {
        SyncDaemonStatus {
            daemon: self.daemon.clone(),
            problem: self.state.problem.lock().clone(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the {} daemon failed", self.daemon.role.name());
        }
    }
}

fn run(
    state: &WorkerState,
    open: impl Fn() -> Result<SyncSocket, SocketError>,
    mut socket: Option<SyncSocket>,
    mut work: impl Work,
) {
    while !state.stop.load(Ordering::Relaxed) {
        let opened = socket.take().map_or_else(&open, Ok);
        let problem = match opened {
            Ok(socket) => {
                state.set_problem(None);
                serve(state, &socket, &mut work)
            }
            Err(error) => Some(describe(&error)),
        };
        if let Some(problem) = problem {
            state.set_problem(Some(problem));
        }
        state.wait(LOOK);
    }
}

/// Works until the daemon is to end (`None`) or the socket is of no use any more.
fn serve(state: &WorkerState, socket: &SyncSocket, work: &mut impl Work) -> Option<String> {
    let mut looked = Instant::now();
    while !state.stop.load(Ordering::Relaxed) {
        if let Err(error) = work.turn(socket) {
            return Some(error.to_string());
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if !socket.is_current() {
                return Some("its interface is gone".to_owned());
            }
        }
    }
    None
}

fn describe(error: &SocketError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
