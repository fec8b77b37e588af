//! A mail, in ldirectord's words.

use lettre::Message;
use lettre::message::Mailbox;

use super::Phase;
use lvs_health::model::Alerts;

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Who gets it, from whom, by which server.
    pub(super) alerts: Alerts,
    /// What happened, as the log has it, with the service's name before it.
    pub(super) subject: String,
    /// All of the text.
    pub(super) body: String,
}

/// Why a letter cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum LetterError {
    #[error("{0} is no mail address")]
    Address(String),
    #[error("it cannot be put together")]
    Message(#[from] lettre::error::Error),
}

/// What the letters about a virtual service say beside what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) alerts: Alerts,
    pub(super) service_name: Option<String>,
    pub(super) comment: Option<String>,
}

impl Subject {
    /// Writes about something that happened on this host, and why if that is known.
    pub(super) fn letter(&self, text: &str, reason: &str, phase: Phase, host: &str) -> Letter {
        let subject = match &self.service_name {
            Some(name) => format!("[{name}] {text}"),
            None => text.to_owned(),
        };
        let mut body = format!(
            "ldirectord host: {host}\nLog-Message: {subject}\nDaemon-Status: {}\n",
            phase.word()
        );
        let details = [
            ("Reason", Some(reason).filter(|reason| !reason.is_empty())),
            ("Service name", self.service_name.as_deref()),
            ("Comment", self.comment.as_deref()),
        ];
        let details: String = details
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}: {}\n", value?)))
            .collect();
        if !details.is_empty() {
            body = format!("{body}\n{details}");
        }
        Letter {
            alerts: self.alerts.clone(),
            subject,
            body,
        }
    }
}

impl Letter {
    /// The message, from the machine's root unless the file names somebody else. Each recipient is one of
    /// its own: ldirectord gave several as one to a mail server, which refused them.
    pub(super) fn message(&self, host: &str) -> Result<Message, LetterError> {
        let from = match &self.alerts.from {
            Some(from) => mailbox(from)?,
            None => mailbox(&format!("root@{host}"))?,
        };
        let mut message = Message::builder().from(from).subject(&self.subject);
        for to in &self.alerts.to {
            message = message.to(mailbox(to)?);
        }
        Ok(message.body(self.body.clone())?)
    }
}

fn mailbox(text: &str) -> Result<Mailbox, LetterError> {
    text.parse()
        .map_err(|_| LetterError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(to: &[&str]) -> Subject {
        Subject {
            alerts: Alerts {
                to: to.iter().map(|&to| to.to_owned()).collect(),
                from: Some("director@example.com".to_owned()),
                ..Alerts::default()
            },
            service_name: Some("Web Shop".to_owned()),
            comment: Some("the shop".to_owned()),
        }
    }

    #[test]
    fn a_letter_says_what_the_log_says_on_which_host_and_when_in_the_daemons_life() {
        let text = "Deleted real server: 10.0.0.1:80 (10.0.0.9:80)";
        let letter = subject(&[]).letter(text, "HTTP 503", Phase::Running, "lb1");
        assert_eq!(letter.subject, format!("[Web Shop] {text}"));
        assert_eq!(
            letter.body,
            format!(
                "ldirectord host: lb1\nLog-Message: [Web Shop] {text}\nDaemon-Status: running\n\n\
                 Reason: HTTP 503\nService name: Web Shop\nComment: the shop\n"
            )
        );
        let bare = Subject {
            service_name: None,
            comment: None,
            ..subject(&[])
        };
        assert_eq!(
            bare.letter(text, "", Phase::Reloading, "lb1").body,
            format!("ldirectord host: lb1\nLog-Message: {text}\nDaemon-Status: reloading\n")
        );
    }

    #[test]
    fn each_recipient_is_one_of_its_own() {
        let letter = subject(&["a@example.com", "B <b@example.com>"]);
        let letter = letter.letter("text", "", Phase::Running, "lb1");
        let message = letter.message("lb1").expect("a message");
        let to: Vec<_> = message
            .envelope()
            .to()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(to, ["a@example.com", "b@example.com"]);
        let from = message.envelope().from().map(ToString::to_string);
        assert_eq!(from.as_deref(), Some("director@example.com"));
    }

    #[test]
    fn without_a_sender_it_is_the_machines_root() {
        let mut letter = subject(&["a@example.com"]).letter("text", "", Phase::Running, "lb1");
        letter.alerts.from = None;
        let message = letter.message("lb1").expect("a message");
        let from = message.envelope().from().map(ToString::to_string);
        assert_eq!(from.as_deref(), Some("root@lb1"));
    }

    #[test]
    fn a_wrong_address_is_named() {
        let letter = subject(&["nobody"]).letter("text", "", Phase::Running, "lb1");
        let error = letter.message("lb1").expect_err("no address");
        assert_eq!(error.to_string(), "nobody is no mail address");
    }

    #[test]
    fn what_a_server_answered_cannot_add_header_lines() {
        let letter = subject(&["a@example.com"]);
        let letter = letter.letter("bad\r\nBcc: c@example.com", "", Phase::Running, "lb1");
        let message = letter.message("lb1").expect("a message");
        let text = String::from_utf8(message.formatted()).expect("text");
        let (headers, _) = text.split_once("\r\n\r\n").expect("headers and a body");
        assert!(
            headers.lines().all(|line| !line.starts_with("Bcc:")),
            "{headers}"
        );
    }
}
