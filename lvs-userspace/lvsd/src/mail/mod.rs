//! Mail about changes of state, to the people whom the file names.
//!
//! A correspondent ([`correspondent`]) hears what happens and writes letters, a carrier ([`carrier`])
//! takes them to the mail server. Between them is a queue with an end: neither probes nor tables ever
//! wait for mail, and a mail server that hangs costs letters, not memory.

mod carrier;
mod correspondent;
mod letter;
mod reminders;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use self::correspondent::Correspondent;
use self::letter::Letter;
use lvs_api::health::Event;
use lvs_api::role::Role;
use lvs_health::model::Configuration;

/// Letters that wait for a mail server before further ones are lost.
const QUEUE: usize = 1000;

/// How long the last letters may take when the daemon ends.
const LAST_LETTERS: Duration = Duration::from_secs(10);

/// What the daemon is doing: `emailalertstatus` chooses among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
    Stopping,
    Reloading,
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Reloading => "reloading",
        }
    }
}

enum Request {
    Phase(Phase),
    Configuration(Box<Configuration>),
    Finish(oneshot::Sender<()>),
}

/// The way to the correspondent.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    requests: mpsc::UnboundedSender<Request>,
}

impl Mail {
    /// Begins to write letters about events, in the phase [`Phase::Starting`]. A backup writes none: the
    /// master does.
    pub(crate) fn begin(
        configuration: &Configuration,
        events: broadcast::Receiver<Arc<Event>>,
        role: watch::Receiver<Role>,
    ) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let (letters, to_carry) = mpsc::channel(QUEUE);
        let desk = Desk {
            correspondent: Correspondent::new(configuration),
            letters,
            role,
            lost: 0,
        };
        let carrier = tokio::spawn(carrier::run(to_carry));
        tokio::spawn(desk.run(events, received, carrier));
        Self { requests }
    }

    /// What happens from now on happens in another phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.ask(Request::Phase(phase));
    }

    /// Another configuration is in effect.
    pub(crate) fn configure(&self, configuration: Configuration) {
        self.ask(Request::Configuration(Box::new(configuration)));
    }

    /// Writes about what has happened so far and waits a while for the letters to be taken away.
    pub(crate) async fn finish(self) {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Finish(answer));
        if tokio::time::timeout(LAST_LETTERS, answered).await.is_err() {
            warn!("the last mails could not be sent before the end");
        }
    }

    fn ask(&self, request: Request) {
        // It ends with the daemon.
        let _ = self.requests.send(request);
    }
}

struct Desk {
    correspondent: Correspondent,
    letters: mpsc::Sender<Letter>,
    role: watch::Receiver<Role>,
    /// Letters that found the queue full since the last that did not.
    lost: u64,
}

impl Desk {
    async fn run(
        mut self,
        mut events: broadcast::Receiver<Arc<Event>>,
        mut requests: mpsc::UnboundedReceiver<Request>,
        carrier: JoinHandle<()>,
    ) {
        let mut open = true;
        loop {
            let due = self.correspondent.due();
            let far = Instant::now() + Duration::from_hours(1);
            tokio::select! {
                event = events.recv(), if open => match event {
                    Ok(event) => self.hear(&event),
                    Err(RecvError::Lagged(missed)) => warn!("{missed} events were not mailed about"),
                    Err(RecvError::Closed) => open = false,
                },
                request = requests.recv() => {
                    // What happened before still belongs to what was before.
                    self.catch_up(&mut events);
                    match request {
                        Some(Request::Phase(phase)) => self.correspondent.enter(phase),
                        Some(Request::Configuration(configuration)) => {
                            self.correspondent.configure(&configuration);
                        }
                        Some(Request::Finish(answer)) => {
                            drop(self.letters);
                            // A carrier that failed has carried what it could.
                            let _ = carrier.await;
                            let _ = answer.send(());
                            return;
                        }
                        None => return,
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or(far).into()) => {
                    for letter in self.correspondent.remind(Instant::now()) {
                        self.post(letter);
                    }
                }
            }
        }
    }

    fn catch_up(&mut self, events: &mut broadcast::Receiver<Arc<Event>>) {
        loop {
            match events.try_recv() {
                Ok(event) => self.hear(&event),
                Err(TryRecvError::Lagged(missed)) => warn!("{missed} events were not mailed about"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        if let Some(letter) = self.correspondent.write(event, Instant::now()) {
            self.post(letter);
        }
    }

    fn post(&mut self, letter: Letter) {
        // What is to be reminded of is known here all the same, for when this director is master.
        if *self.role.borrow() == Role::Backup {
            return;
        }
        if self.letters.try_send(letter).is_ok() {
            self.lost = 0;
            return;
        }
        if self.lost == 0 {
            warn!("{QUEUE} mails wait for their server: further ones are not sent");
        }
        self.lost += 1;
    }
}
