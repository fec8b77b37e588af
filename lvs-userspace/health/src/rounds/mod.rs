//! Connect checks of thousands of servers, made in rounds: one thread sends what begins all connections that
//! are due, and then hears what came of those before. A task for each, as the other checks have, would
//! take several times the work of the probe itself, most of it waiting for memory.
//!
//! What says nothing new is not told: who has been well and is well again, after as many milliseconds.

mod calendar;
mod round;
mod table;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::error;

use self::table::{Due, Table};
use super::check::{Check, Kind, Path};
use super::probe::{HalfOpen, Ready};
use super::runner::Report;
use super::watch::Watch;

/// Connections that are begun before answers are heard: the last of them was not sent much later than the
/// first.
const AT_ONCE: usize = 32;

/// Makes connect checks, for as long as this or any [`Place`] is there.
#[derive(Clone, Debug)]
pub struct Rounds {
    requests: mpsc::UnboundedSender<Request>,
    ipv6: bool,
}

#[derive(Debug)]
enum Request {
    Begin(u32, Arc<Check>, Watch),
    Nudge(u32),
    Pause(u32, bool),
    TellEvery(u32, bool),
    End(u32),
}

impl Rounds {
    /// Begins, with none; what comes of them is sent to `reports`.
    ///
    /// # Errors
    /// There is no thread or no runtime to be had.
    pub fn begin(half_open: HalfOpen, reports: mpsc::UnboundedSender<Report>) -> io::Result<Self> {
        let (requests, received) = mpsc::unbounded_channel();
        let ipv6 = half_open.speaks_ipv6();
        // A runtime of its own: while it sends, nobody else is woken for each answer.
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let ready = {
            let _within = runtime.enter();
            half_open.ready()?
        };
        let driver = Driver {
            half_open,
            ready,
            table: Table::new(Instant::now()),
            requests: received,
            reports,
        };
        thread::Builder::new()
            .name("rounds".to_owned())
            .spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(driver.run())));
                if ended.is_err() {
                    error!("connect checks broke off: the daemon ends, to be started anew");
                    // The data path goes on; a daemon that no longer looks after servers must not.
                    std::process::abort();
                }
            })?;
        Ok(Self { requests, ipv6 })
    }

    /// Takes up a check at the rhythm of a watch. None: it is none of those that are made here.
    pub fn start(&self, number: u32, check: &Arc<Check>, watch: &Watch) -> Option<Place> {
        let speaks = check.target.is_ipv4() || self.ipv6;
        if check.kind != Kind::Connect || check.path != Path::Own || !speaks {
            return None;
        }
        let request = Request::Begin(number, Arc::clone(check), watch.clone());
        self.requests.send(request).ok()?;
        Some(Place {
            number,
            requests: self.requests.clone(),
        })
    }
}

/// A check that is made until this is dropped.
#[derive(Debug)]
pub struct Place {
    number: u32,
    requests: mpsc::UnboundedSender<Request>,
}

impl Place {
    /// Signs of death: it is made at once.
    pub fn nudge(&self) {
        self.ask(Request::Nudge(self.number));
    }

    /// It is not made for now, or anew.
    pub fn pause(&self, paused: bool) {
        self.ask(Request::Pause(self.number, paused));
    }

    /// Each of its outcomes is wanted, or what says something new is enough.
    pub fn tell_every(&self, every: bool) {
        self.ask(Request::TellEvery(self.number, every));
    }

    fn ask(&self, request: Request) {
        // The thread ends after its last place.
        let _ = self.requests.send(request);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ask(Request::End(self.number));
    }
}

/// The thread's own.
struct Driver {
    half_open: HalfOpen,
    ready: Ready,
    table: Table,
    requests: mpsc::UnboundedReceiver<Request>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Driver {
    async fn run(mut self) {
        let mut asked = Vec::new();
        let mut all_heard = true;
        loop {
            let next = self.table.next();
            tokio::select! {
                _ = self.requests.recv_many(&mut asked, 1024) => {
                    if asked.is_empty() {
                        return;
                    }
                }
                () = self.ready.wait() => {}
                () = until(next) => {}
                () = std::future::ready(()), if !all_heard => {}
            }
            for request in asked.drain(..) {
                self.serve(request);
            }
            self.send_due();
            all_heard = self.hear();
        }
    }

    fn serve(&mut self, request: Request) {
        let now = Instant::now();
        match request {
            Request::Begin(number, check, watch) => self.table.begin(number, check, watch),
            Request::Nudge(number) => self.table.nudge(number, now),
            Request::Pause(number, paused) => self.table.pause(number, paused, now),
            Request::TellEvery(number, every) => self.table.tell_every(number, every),
            Request::End(number) => self.table.end(number),
        }
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        for _ in 0..AT_ONCE {
            let half_open = &mut self.half_open;
            let report = match self
                .table
                .due(now, |to, source| half_open.syn(to, source, now))
            {
                None => return,
                Some(Due::Send(syn)) => match half_open.send(&syn) {
                    Ok(()) => None,
                    Err(error) => self.table.unsent(&syn, error, now),
                },
                Some(Due::Tell(report)) => Some(report),
            };
            self.tell(report);
        }
    }

    /// False: there may be more.
    fn hear(&mut self) -> bool {
        let (now, table, reports) = (Instant::now(), &mut self.table, &self.reports);
        self.half_open.hear(|heard| {
            if let Some(report) = table.heard(heard, now) {
                // At the end nobody wants to know.
                let _ = reports.send(report);
            }
        })
    }

    fn tell(&self, report: Option<Report>) {
        if let Some(report) = report {
            // As above.
            let _ = self.reports.send(report);
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
