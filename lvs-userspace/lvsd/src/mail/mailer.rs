//! The mailer: a task between events and the mail server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::health::Event;
use lvs_api::role::Role;
use lvs_health::model::Configuration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::alerts::AlertWriter;
use super::message::Message;
use super::phase::Phase;
use super::transport;

/// Messages that wait for a mail server before further ones are lost.
pub(super) const QUEUE: usize = 1000;

/// Longest time for the last messages when the daemon ends.
const LAST_MESSAGES: Duration = Duration::from_secs(10);

enum Request {
    Phase(Phase),
    Configuration(Box<Configuration>),
    Finish(oneshot::Sender<()>),
}

/// Handle of the mailer's task.
#[derive(Clone, Debug)]
pub(crate) struct MailHandle {
    requests: mpsc::UnboundedSender<Request>,
}

impl MailHandle {
    /// Starts a mailer for these events, in the phase [`Phase::Starting`]. It sends nothing while the director
    /// is backup: the master does.
    pub(crate) fn start(
        configuration: &Configuration,
        events: broadcast::Receiver<Arc<Event>>,
        role: watch::Receiver<Role>,
    ) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let (messages, queue) = mpsc::channel(QUEUE);
        let mailer = Mailer {
            alerts: AlertWriter::new(configuration),
            messages,
            role,
            lost: 0,
        };
        let transport = tokio::spawn(transport::run(queue));
        tokio::spawn(mailer.run(events, received, transport));
        Self { requests }
    }

    /// Enters another phase, which holds for later events.
    pub(crate) fn enter(&self, phase: Phase) {
        self.send(Request::Phase(phase));
    }

    /// Follows another configuration.
    pub(crate) fn configure(&self, configuration: Configuration) {
        self.send(Request::Configuration(Box::new(configuration)));
    }

    /// Ends the mailer. Waits up to [`LAST_MESSAGES`] for the messages about earlier events to be sent.
    pub(crate) async fn finish(self) {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Finish(answer));
        if tokio::time::timeout(LAST_MESSAGES, answered).await.is_err() {
            warn!("the last mails could not be sent before the end");
        }
    }

    fn send(&self, request: Request) {
        // It ends with the daemon.
        let _ = self.requests.send(request);
    }
}

/// Task that turns events into messages and queues them for the transport.
struct Mailer {
    alerts: AlertWriter,
    messages: mpsc::Sender<Message>,
    role: watch::Receiver<Role>,
    /// Messages lost since the queue was last found with room.
    lost: u64,
}

impl Mailer {
    async fn run(
        mut self,
        mut events: broadcast::Receiver<Arc<Event>>,
        mut requests: mpsc::UnboundedReceiver<Request>,
        transport: JoinHandle<()>,
    ) {
        let mut open = true;
        loop {
            let due = self.alerts.next_reminder();
            let far = Instant::now() + Duration::from_hours(1);
            tokio::select! {
                event = events.recv(), if open => match event {
                    Ok(event) => self.write_about(&event),
                    Err(RecvError::Lagged(missed)) => warn!("{missed} events were not mailed about"),
                    Err(RecvError::Closed) => open = false,
                },
                request = requests.recv() => {
                    // Earlier events belong to the phase and configuration before.
                    self.catch_up(&mut events);
                    match request {
                        Some(Request::Phase(phase)) => self.alerts.enter(phase),
                        Some(Request::Configuration(configuration)) => {
                            self.alerts.configure(&configuration);
                        }
                        Some(Request::Finish(answer)) => {
                            drop(self.messages);
                            // A transport that failed has sent what it could.
                            let _ = transport.await;
                            let _ = answer.send(());
                            return;
                        }
                        None => return,
                    }
                }
                () = tokio::time::sleep_until(due.unwrap_or(far).into()) => {
                    for message in self.alerts.reminders(Instant::now()) {
                        self.enqueue(message);
                    }
                }
            }
        }
    }

    fn catch_up(&mut self, events: &mut broadcast::Receiver<Arc<Event>>) {
        loop {
            match events.try_recv() {
                Ok(event) => self.write_about(&event),
                Err(TryRecvError::Lagged(missed)) => warn!("{missed} events were not mailed about"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn write_about(&mut self, event: &Event) {
        if let Some(message) = self.alerts.write(event, Instant::now()) {
            self.enqueue(message);
        }
    }

    fn enqueue(&mut self, message: Message) {
        // Reminders are kept all the same, for when this director is master.
        if *self.role.borrow() == Role::Backup {
            return;
        }
        if self.messages.try_send(message).is_ok() {
            self.lost = 0;
            return;
        }
        if self.lost == 0 {
            warn!("{QUEUE} mails wait for their server: further ones are not sent");
        }
        self.lost += 1;
    }
}
