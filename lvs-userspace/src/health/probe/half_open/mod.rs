//! Half-open connections: a SYN is sent, and what comes back is all there is to know of the server.
//!
//! All of a family go through one pair of raw sockets. The kernel's TCP knows nothing of them: it answers
//! the server's SYN by a reset (RFC 9293, section 3.10.7.1), and so the connection is over there, too,
//! before the server's program hears of it. A socket for each can be made to do the same (see
//! [`super::connect`]), but making, watching and closing it takes more work than all the rest.

mod filter;
mod segment;
mod sockets;
mod sources;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::Domain;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use self::segment::Ports;
use self::sockets::{Heard, Sockets, Syn};

/// How long a SYN is left without an answer before it is repeated, at first; then twice as long each time
/// (RFC 6298, section 2.1).
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked which those are.
const LOOK: Duration = Duration::from_millis(250);

/// Begins connections to servers, of all families that the machine speaks.
#[derive(Debug)]
pub struct HalfOpen {
    ipv4: Option<Line>,
    ipv6: Option<Line>,
}

impl HalfOpen {
    /// Opens the sockets; to be called within a runtime.
    ///
    /// # Errors
    /// There are none to be had: that takes CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            ipv4: Some(Line::open(Domain::IPV4)?),
            // A kernel may be without.
            ipv6: Line::open(Domain::IPV6).ok(),
        })
    }

    /// Begins a connection: that returns when the server has answered, which may be never. None: the machine
    /// does not speak this family.
    ///
    /// # Errors
    /// The server refused, the network says why it does not get there, or it cannot be sent from here.
    pub(super) fn begin(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
    ) -> Option<impl Future<Output = io::Result<()>>> {
        let line = match to {
            SocketAddr::V4(_) => self.ipv4.as_ref(),
            SocketAddr::V6(_) => self.ipv6.as_ref(),
        };
        Some(line?.begin(to, source))
    }
}

/// The connections of one family.
#[derive(Debug)]
struct Line {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    sockets: Sockets,
    waiting: Mutex<HashMap<u32, Waiting>>,
    /// Sequence numbers that nobody foresees: an answer that was made up elsewhere hits none.
    numbers: (RandomState, AtomicU64),
}

#[derive(Debug)]
struct Waiting {
    syn: Syn,
    /// When it is repeated, and how long after the time before that is.
    again: (Instant, Duration),
    answer: oneshot::Sender<io::Result<()>>,
}

impl Line {
    fn open(domain: Domain) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            sockets: Sockets::open(domain)?,
            waiting: Mutex::default(),
            numbers: (RandomState::new(), AtomicU64::new(0)),
        });
        Ok(Self {
            task: tokio::spawn(Arc::clone(&shared).run()),
            shared,
        })
    }

    async fn begin(&self, to: SocketAddr, source: Option<IpAddr>) -> io::Result<()> {
        let shared = &*self.shared;
        let syn = Syn {
            source,
            port: shared.sockets.port(),
            to,
            number: shared.number(),
        };
        let (answer, answered) = oneshot::channel();
        let now = Instant::now();
        let waiting = Waiting {
            syn,
            again: (now + PATIENCE, PATIENCE),
            answer,
        };
        shared.waiting().insert(syn.number, waiting);
        let _over = Over(shared, syn.number);
        shared.sockets.send(&syn, now)?;
        match answered.await {
            Ok(answer) => answer,
            // Another connection has the same number of four billion: as if no answer had come.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Passes on what is heard, and repeats what is not answered.
    async fn run(self: Arc<Self>) {
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                () = self.sockets.hear(|heard| self.tell(heard)) => {}
                now = look.tick() => self.repeat(now),
            }
        }
    }

    fn repeat(&self, now: Instant) {
        let mut due = Vec::new();
        for waiting in self.waiting().values_mut() {
            let (moment, patience) = waiting.again;
            if moment <= now {
                waiting.again = (now + 2 * patience, 2 * patience);
                due.push(waiting.syn);
            }
        }
        for syn in due {
            if let Err(error) = self.sockets.send(&syn, now)
                && let Some(waiting) = self.waiting().remove(&syn.number)
            {
                // Whoever began it may have given it up meanwhile.
                let _ = waiting.answer.send(Err(error));
            }
        }
    }

    fn number(&self) -> u32 {
        let (random, count) = &self.numbers;
        let number = random.hash_one(count.fetch_add(1, Ordering::Relaxed));
        #[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
        let number = number as u32;
        number
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what was said of a connection to whoever began it.
    fn tell(&self, heard: Heard) {
        let mut all = self.waiting();
        let meant = |waiting: &&Waiting| {
            let Syn { port, to, .. } = waiting.syn;
            let ports = Ports {
                from: port,
                to: to.port(),
            };
            to.ip() == heard.server && ports == heard.ports
        };
        if all.get(&heard.number).as_ref().is_some_and(meant)
            && let Some(waiting) = all.remove(&heard.number)
        {
            // Whoever began it may have given it up meanwhile.
            let _ = waiting.answer.send(heard.answer);
        }
    }
}

/// The end of what waits for an answer.
struct Over<'a>(&'a Shared, u32);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}
