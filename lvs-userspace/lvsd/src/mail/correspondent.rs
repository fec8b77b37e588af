//! Who is written to about what. Pure: the time is told, the letters are handed back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Phase;
use super::letter::{Letter, Subject};
use super::reminders::Reminders;
use lvs_api::health::Event;
use lvs_api::model::ServiceId;
use lvs_dataplane::director::canonical_service;
use lvs_health::model::{Alerts, Configuration, Virtual};

pub(super) struct Correspondent {
    subjects: HashMap<ServiceId, Subject>,
    reminders: Reminders,
    phase: Phase,
    host: String,
}

impl Correspondent {
    pub(super) fn new(configuration: &Configuration) -> Self {
        let mut correspondent = Self {
            subjects: HashMap::new(),
            reminders: Reminders::default(),
            phase: Phase::Starting,
            host: host(),
        };
        correspondent.configure(configuration);
        correspondent
    }

    pub(super) fn configure(&mut self, configuration: &Configuration) {
        let subject = |service: &Virtual| Subject {
            alerts: service.alerts.clone(),
            service_name: service.service_name.clone(),
            comment: service.comment.clone(),
        };
        self.subjects = configuration
            .virtuals
            .iter()
            .filter(|service| !service.alerts.to.is_empty())
            .map(|service| (canonical_service(&service.id), subject(service)))
            .collect();
        let subjects = &self.subjects;
        self.reminders
            .retain(|service| subjects.contains_key(service));
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// The letter about an event, if anybody wants one.
    pub(super) fn write(&mut self, event: &Event, now: Instant) -> Option<Letter> {
        let subject = self.subjects.get(&event.service)?;
        if let Some(server) = event.server {
            let key = (event.service, server);
            if event.event == "down" {
                self.reminders.down(key, subject.alerts.repeat, now);
            } else {
                self.reminders.over(&key);
            }
        }
        if !wanted(&subject.alerts, self.phase) {
            return None;
        }
        let text = match event.server {
            // It was in no table before and is in none now: the log has no words of ldirectord's for it.
            Some(server) if event.event == "down" && event.text == event.reason => {
                inaccessible(&event.service, server)
            }
            _ => event.text.clone(),
        };
        let reason = if text == event.reason {
            ""
        } else {
            &event.reason
        };
        Some(subject.letter(&text, reason, self.phase, &self.host))
    }

    /// When the next reminder is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.reminders.due()
    }

    /// The reminders that are due.
    pub(super) fn remind(&mut self, now: Instant) -> Vec<Letter> {
        let mut letters = Vec::new();
        for key in self.reminders.take(now) {
            let (service, server) = key;
            let Some(subject) = self.subjects.get(&service) else {
                continue;
            };
            let repeat: Duration = subject.alerts.repeat;
            self.reminders.down(key, repeat, now);
            if wanted(&subject.alerts, self.phase) {
                let text = inaccessible(&service, server);
                letters.push(subject.letter(&text, "", self.phase, &self.host));
            }
        }
        letters
    }
}

const fn wanted(alerts: &Alerts, phase: Phase) -> bool {
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

/// The machine's name, for the letters and their default sender.
pub(super) fn host() -> String {
    let name = nix::unistd::gethostname().ok();
    name.and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::sample;

    const LINE: &str = "Deleted real server: 10.0.0.1:80 (192.0.2.80:80)";

    fn correspondent(alerts: Alerts) -> Correspondent {
        Correspondent::new(&sample::configuration(alerts))
    }

    fn alerts() -> Alerts {
        Alerts {
            to: vec!["a@example.com".to_owned()],
            repeat: Duration::from_mins(1),
            ..Alerts::default()
        }
    }

    fn subjects(letters: &[Letter]) -> Vec<&str> {
        letters.iter().map(|letter| &*letter.subject).collect()
    }

    #[test]
    fn each_event_is_one_letter_with_the_words_of_the_log() {
        let now = Instant::now();
        let mut correspondent = correspondent(alerts());
        let letter = correspondent
            .write(&sample::event("down", LINE), now)
            .expect("a letter");
        assert_eq!(letter.subject, format!("[www] {LINE}"));
        assert!(letter.body.contains("Daemon-Status: starting\n"));
        assert!(letter.body.contains("Reason: no answer\n"));
        correspondent.enter(Phase::Running);
        let letter = correspondent
            .write(
                &sample::event("fallback-on", "Added fallback server: …"),
                now,
            )
            .expect("a letter");
        assert!(letter.body.contains("Daemon-Status: running\n"));
    }

    #[test]
    fn a_server_that_was_never_in_the_tables_is_called_inaccessible() {
        let mut correspondent = correspondent(alerts());
        let event = sample::event("down", "no answer");
        let letter = correspondent.write(&event, Instant::now());
        assert_eq!(
            letter.map(|letter| letter.subject).as_deref(),
            Some("[www] Inaccessible real server: 10.0.0.1:80 (192.0.2.80:80)")
        );
    }

    #[test]
    fn nobody_is_written_to_in_phases_that_were_not_asked_for() {
        let now = Instant::now();
        let mut alerts = alerts();
        alerts.phases.starting = false;
        let mut correspondent = correspondent(alerts);
        assert_eq!(correspondent.write(&sample::event("down", LINE), now), None);
        correspondent.enter(Phase::Running);
        // But it is remembered as down.
        let letters = correspondent.remind(now + Duration::from_mins(1));
        assert_eq!(
            subjects(&letters),
            ["[www] Inaccessible real server: 10.0.0.1:80 (192.0.2.80:80)"]
        );
    }

    #[test]
    fn nobody_is_written_to_without_an_address() {
        let mut correspondent = correspondent(Alerts::default());
        let event = sample::event("down", LINE);
        assert_eq!(correspondent.write(&event, Instant::now()), None);
        assert_eq!(correspondent.due(), None);
    }

    #[test]
    fn reminders_come_while_the_server_is_down_and_the_file_wants_them() {
        let now = Instant::now();
        let minute = Duration::from_mins(1);
        let mut correspondent = correspondent(alerts());
        correspondent.write(&sample::event("down", LINE), now);
        assert_eq!(correspondent.remind(now + minute).len(), 1);
        assert!(correspondent.remind(now + minute).is_empty());
        assert_eq!(correspondent.remind(now + 2 * minute).len(), 1);
        correspondent.write(
            &sample::event("up", "Added real server: …"),
            now + 2 * minute,
        );
        assert!(correspondent.remind(now + 9 * minute).is_empty());
        correspondent.write(&sample::event("down", LINE), now + 9 * minute);
        correspondent.configure(&sample::configuration(Alerts::default()));
        assert!(correspondent.remind(now + 20 * minute).is_empty());
    }
}
