//! Alerts: which event is a message to whom. No I/O: the time is an argument, messages are returned.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lvs_api::health::Event;
use lvs_api::model::ServiceId;
use lvs_dataplane::director::canonical_service;
use lvs_health::model::{Alerts, Configuration, Virtual};

use super::host::host;
use super::message::{Message, Template};
use super::phase::Phase;
use super::reminders::Reminders;

/// Composes the messages about changes of state, in the phase that the daemon is in.
pub(super) struct AlertWriter {
    templates: HashMap<ServiceId, Template>,
    reminders: Reminders,
    phase: Phase,
    host: String,
}

impl AlertWriter {
    pub(super) fn new(configuration: &Configuration) -> Self {
        let mut writer = Self {
            templates: HashMap::new(),
            reminders: Reminders::default(),
            phase: Phase::Starting,
            host: host(),
        };
        writer.configure(configuration);
        writer
    }

    pub(super) fn configure(&mut self, configuration: &Configuration) {
        let template = |service: &Virtual| Template {
            alerts: service.alerts.clone(),
            service_name: service.service_name.clone(),
            comment: service.comment.clone(),
        };
        self.templates = configuration
            .virtuals
            .iter()
            .filter(|service| !service.alerts.to.is_empty())
            .map(|service| (canonical_service(&service.id), template(service)))
            .collect();
        let templates = &self.templates;
        self.reminders
            .retain(|service| templates.contains_key(service));
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The message about an event; none if the file asks for no mail about it.
    pub(super) fn write(&mut self, event: &Event, now: Instant) -> Option<Message> {
        let service = event.service?;
        let template = self.templates.get(&service)?;
        if let Some(server) = event.server {
            let key = (service, server);
            if event.event == "down" {
                self.reminders.down(key, template.alerts.repeat, now);
            } else {
                self.reminders.up(&key);
            }
        }
        if !wants_mail(&template.alerts, self.phase) {
            return None;
        }
        let text = match event.server {
            // It was in no table before and is in none now: ldirectord's log has no text for that.
            Some(server) if event.event == "down" && event.text == event.reason => {
                inaccessible(&service, server)
            }
            _ => event.text.clone(),
        };
        let reason = if text == event.reason {
            ""
        } else {
            &event.reason
        };
        Some(template.message(&text, reason, self.phase, &self.host))
    }

    /// Time of the next reminder.
    pub(super) fn next_reminder(&self) -> Option<Instant> {
        self.reminders.next()
    }

    /// The reminders that are due at `now`; each is due again after its period.
    pub(super) fn reminders(&mut self, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        for key in self.reminders.due_at(now) {
            let (service, server) = key;
            let Some(template) = self.templates.get(&service) else {
                continue;
            };
            let repeat: Duration = template.alerts.repeat;
            self.reminders.down(key, repeat, now);
            if wants_mail(&template.alerts, self.phase) {
                let text = inaccessible(&service, server);
                messages.push(template.message(&text, "", self.phase, &self.host));
            }
        }
        messages
    }
}

const fn wants_mail(alerts: &Alerts, phase: Phase) -> bool {
    let phases = &alerts.phases;
    match phase {
        Phase::Starting => phases.starting,
        Phase::Running => phases.running,
        Phase::Stopping => phases.stopping,
        Phase::Reloading => phases.reloading,
    }
}

fn inaccessible(service: &ServiceId, server: SocketAddr) -> String {
    let service = match service {
        ServiceId::Address { address, .. } => address.to_string(),
        ServiceId::Mark { mark, .. } => mark.to_string(),
    };
    format!("Inaccessible real server: {server} ({service})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sample;

    const LINE: &str = "Deleted real server: 10.0.0.1:80 (192.0.2.80:80)";

    fn writer(alerts: &Alerts) -> AlertWriter {
        AlertWriter::new(&sample::configuration(alerts))
    }

    fn alerts() -> Alerts {
        Alerts {
            to: vec!["a@example.com".to_owned()],
            repeat: Duration::from_mins(1),
            ..Alerts::default()
        }
    }

    fn subjects(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| &*message.subject).collect()
    }

    #[test]
    fn each_event_is_one_message_with_the_text_of_the_log() {
        let now = Instant::now();
        let mut writer = writer(&alerts());
        let message = writer
            .write(&sample::event("down", LINE), now)
            .expect("a message");
        assert_eq!(message.subject, format!("[www] {LINE}"));
        assert!(message.body.contains("Daemon-Status: starting\n"));
        assert!(message.body.contains("Reason: no answer\n"));
        writer.enter(Phase::Running);
        let message = writer
            .write(
                &sample::event("fallback-on", "Added fallback server: …"),
                now,
            )
            .expect("a message");
        assert!(message.body.contains("Daemon-Status: running\n"));
    }

    #[test]
    fn a_server_that_was_never_in_the_tables_is_called_inaccessible() {
        let mut writer = writer(&alerts());
        let event = sample::event("down", "no answer");
        let message = writer.write(&event, Instant::now());
        assert_eq!(
            message.map(|message| message.subject).as_deref(),
            Some("[www] Inaccessible real server: 10.0.0.1:80 (192.0.2.80:80)")
        );
    }

    #[test]
    fn no_mail_is_sent_in_phases_that_the_file_leaves_out() {
        let now = Instant::now();
        let mut alerts = alerts();
        alerts.phases.starting = false;
        let mut writer = writer(&alerts);
        assert_eq!(writer.write(&sample::event("down", LINE), now), None);
        writer.enter(Phase::Running);
        // But it is remembered as down.
        let messages = writer.reminders(now + Duration::from_mins(1));
        assert_eq!(
            subjects(&messages),
            ["[www] Inaccessible real server: 10.0.0.1:80 (192.0.2.80:80)"]
        );
    }

    #[test]
    fn no_mail_is_sent_without_an_address() {
        let mut writer = writer(&Alerts::default());
        let event = sample::event("down", LINE);
        assert_eq!(writer.write(&event, Instant::now()), None);
        assert_eq!(writer.next_reminder(), None);
    }

    #[test]
    fn reminders_come_while_the_server_is_down_and_the_file_wants_them() {
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        let mut writer = writer(&alerts());
        writer.write(&sample::event("down", LINE), now);
        assert_eq!(writer.reminders(now + minute).len(), 1);
        assert!(writer.reminders(now + minute).is_empty());
        assert_eq!(writer.reminders(now + 2 * minute).len(), 1);
        writer.write(
            &sample::event("up", "Added real server: …"),
            now + 2 * minute,
        );
        assert!(writer.reminders(now + 9 * minute).is_empty());
        writer.write(&sample::event("down", LINE), now + 9 * minute);
        writer.configure(&sample::configuration(&Alerts::default()));
        assert!(writer.reminders(now + 20 * minute).is_empty());
    }
}
