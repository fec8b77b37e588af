//! The thread that writes the log: a reader of a pipe or a file server that does not take a line holds up nobody else.
//!
//! Until it is started, lines are written by whoever has them: a thread that began before the daemon gave its
//! privileges up would keep them.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait at most; further ones are lost.
const WAITING: usize = 4096;
/// Longest wait at the end for lines that are not written yet.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Pause before a place for a job that must not be lost is looked for again.
const AGAIN: Duration = Duration::from_millis(10);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// This is the thread that writes.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

static QUEUE: OnceLock<SyncSender<Job>> = OnceLock::new();
/// Lines that were lost since the last one that was not.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Writes from now on by a thread of its own.
pub(crate) fn start() -> io::Result<()> {
    let (sender, jobs) = sync_channel::<Job>(WAITING);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            WRITES.set(true);
            for job in jobs {
                job();
                let lost = LOST.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(
                        "{lost} lines of the log were lost: it could not be written in time"
                    );
                }
            }
        })?;
    // There is one daemon in a process.
    let _ = QUEUE.set(sender);
    Ok(())
}

/// Writes a line after those before it, and does not wait for it.
pub(super) fn run(job: impl FnOnce() + Send + 'static) {
    let Some(queue) = QUEUE.get().filter(|_| !WRITES.get()) else {
        return job();
    };
    if let Err(TrySendError::Full(_)) = queue.try_send(Box::new(job)) {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does this after the lines before it; waits for a second at most until it has a place among them.
pub(super) fn run_surely(job: impl FnOnce() + Send + 'static) {
    let Some(queue) = QUEUE.get().filter(|_| !WRITES.get()) else {
        return job();
    };
    let mut job: Job = Box::new(job);
    let end = Instant::now() + LAST_LINES;
    while let Err(TrySendError::Full(refused)) = queue.try_send(job) {
        if Instant::now() >= end {
            return;
        }
        job = refused;
        thread::sleep(AGAIN);
    }
}

/// Returns once every line is written, or cannot be within two seconds.
pub(crate) fn finish() {
    let (sender, done) = sync_channel(1);
    run_surely(move || {
        let _ = sender.send(());
    });
    let _ = done.recv_timeout(LAST_LINES);
}

/// The standard error output, which may be a pipe.
pub(crate) struct Stderr;

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let line = line.to_vec();
        let length = line.len();
        // Where the log cannot be written, that cannot be written either.
        run(move || drop(io::stderr().write_all(&line)));
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
