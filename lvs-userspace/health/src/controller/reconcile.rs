//! Updates of the tables, from everything that changed since the last ones.

use tokio::sync::oneshot;
use tracing::error;

use super::events;
use super::state::Controller;
use crate::clock::now;
use crate::writer::{Job, Task};

impl Controller {
    /// Reconciles all dirty services, and sends their updates to the writer.
    pub(super) fn reconcile(&mut self) {
        let now = now();
        let mut anything = false;
        for id in std::mem::take(&mut self.dirty) {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let reconciled = service.reconcile(now);
            self.watches.update_serving(service);
            if let Some(wake) = reconciled.wake {
                self.wakes.entry(wake).or_default().push(id);
            }
            if reconciled.update.is_empty()
                && reconciled.changes.is_empty()
                && reconciled.turned.is_empty()
            {
                continue;
            }
            let time = events::seconds_since_1970();
            events::stamp(service, &reconciled.changes, now);
            let job = Job {
                turned: reconciled.turned,
                events: events::events(service, &reconciled.changes, time),
                commands: events::commands(service, &reconciled.changes),
                event_command: self.globals.event_command.clone(),
                ..Job::new(reconciled.update)
            };
            self.enqueue(Task::Job(Box::new(job)));
            anything = true;
        }
        if anything {
            let (done, written) = oneshot::channel();
            self.enqueue(Task::Done(done));
            self.writing = Some(written);
        }
    }

    pub(super) fn enqueue(&self, task: Task) {
        if self.tasks.send(task).is_err() {
            error!("the tables are not written any more: the writer has ended");
        }
    }
}
