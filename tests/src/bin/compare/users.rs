//! Users who ask for a small page again and again.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Users; half of them keep their connection.
const USERS: u32 = 16;
/// A user gives up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two requests of a user.
const PAUSE: Duration = Duration::from_millis(10);

/// What users met with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Requests that got no connection.
    pub(crate) failed_new: u64,
    /// Requests over a new connection that failed after that.
    pub(crate) failed_begun: u64,
    /// Requests over a connection that was kept that failed.
    pub(crate) failed_kept: u64,
    /// The longest time from the beginning of a request to its end, good or bad.
    pub(crate) longest: Duration,
}

/// The users of a site.
#[derive(Debug, Default)]
pub(crate) struct Users {
    outcome: Mutex<Outcome>,
    over: AtomicBool,
}

impl Users {
    /// They ask until they are stopped; returns when all have their answers or gave up.
    pub(crate) fn ask(&self, address: IpAddr) {
        thread::scope(|scope| {
            for number in 0..USERS {
                scope.spawn(move || self.browse(address, number % 2 == 0));
            }
        });
    }

    /// No further request begins.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn outcome(&self) -> Outcome {
        *self.outcome.lock()
    }

    fn browse(&self, address: IpAddr, keep: bool) {
        let mut kept = None;
        while !self.over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let fresh = kept.is_none();
            let answered = request(&mut kept, address, begun + PATIENCE);
            let mut outcome = self.outcome.lock();
            outcome.longest = outcome.longest.max(begun.elapsed());
            match &answered {
                Ok(()) => outcome.requests += 1,
                // It had a connection; the server died over its answer.
                Err(_) if fresh && kept.is_some() => outcome.failed_begun += 1,
                Err(_) if fresh => outcome.failed_new += 1,
                Err(_) => outcome.failed_kept += 1,
            }
            drop(outcome);
            if answered.is_err() || !keep {
                kept = None;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// A request over the connection that was kept, or a new one. An answer of an error is a failure.
fn request(kept: &mut Option<TcpStream>, address: IpAddr, end: Instant) -> io::Result<()> {
    let left = || {
        let left = end.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    };
    let connection = if let Some(connection) = kept {
        connection
    } else {
        kept.insert(TcpStream::connect_timeout(
            &SocketAddr::new(address, 80),
            left(),
        )?)
    };
    connection.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        connection.set_read_timeout(Some(left()))?;
        let mut portion = [0; 4096];
        match connection.read(&mut portion)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&portion[..count]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Whether an answer has come to its end: its body is one line, or that of an error.
fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n");
    end.is_some_and(|end| answer[end + 4..].ends_with(b"\n"))
}
