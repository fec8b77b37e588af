//! The thread of a sync daemon.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::link::{Link, LinkError, PATIENCE};
use lvs_api::sync::{SyncDaemon, SyncDaemonStatus};

/// How often a daemon looks whether its interface is there.
const LOOK: Duration = Duration::from_secs(1);

/// What a daemon does, again and again.
pub(super) trait Work: Send + 'static {
    /// One turn: at most about [`PATIENCE`] long.
    fn turn(&mut self, link: &Link) -> io::Result<()>;
}

/// A sync daemon at work; it ends when this is dropped.
pub(super) struct Worker {
    daemon: SyncDaemon,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What a daemon's thread shares with the others.
#[derive(Default)]
struct State {
    stop: AtomicBool,
    problem: Mutex<Option<String>>,
}

impl State {
    fn tell(&self, problem: Option<String>) {
        let mut told = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != problem {
            if let Some(problem) = &problem {
                warn!("connections are not synchronized: {problem}");
            } else {
                info!("connections are synchronized again");
            }
        }
        *told = problem;
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
    /// Starts a daemon. Without a link one is made, with this buffer, as soon as its interface allows it.
    pub(super) fn start(
        daemon: SyncDaemon,
        buffer: Option<u32>,
        link: Option<Link>,
        work: impl Work,
    ) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let thread = {
            let (state, daemon) = (Arc::clone(&state), daemon.clone());
            thread::Builder::new()
                .name(format!("sync-{}", daemon.role.name()))
                .spawn(move || {
                    let open = || Link::open(&daemon, buffer);
                    run(&state, open, link, work);
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
        let problem = &self.state.problem;
        SyncDaemonStatus {
            daemon: self.daemon.clone(),
            problem: problem
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
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
    state: &State,
    open: impl Fn() -> Result<Link, LinkError>,
    mut link: Option<Link>,
    mut work: impl Work,
) {
    while !state.stop.load(Ordering::Relaxed) {
        let opened = link.take().map_or_else(&open, Ok);
        let problem = match opened {
            Ok(link) => {
                state.tell(None);
                serve(state, &link, &mut work)
            }
            Err(error) => Some(describe(&error)),
        };
        if let Some(problem) = problem {
            state.tell(Some(problem));
        }
        state.wait(LOOK);
    }
}

/// Works until the daemon is to end (`None`) or the link is good for nothing any more.
fn serve(state: &State, link: &Link, work: &mut impl Work) -> Option<String> {
    let mut looked = Instant::now();
    while !state.stop.load(Ordering::Relaxed) {
        if let Err(error) = work.turn(link) {
            return Some(error.to_string());
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if !link.is_current() {
                return Some("its interface is gone".to_owned());
            }
        }
    }
    None
}

fn describe(error: &LinkError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
