//! An alert as an e-mail, in ldirectord's words.

use lettre::Message as Email;
use lettre::message::Mailbox;
use lvs_health::model::Alerts;

use super::phase::Phase;

/// An alert to be sent by mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Recipients, sender and mail server.
    pub(super) alerts: Alerts,
    /// The line of the log, with the service's name before it.
    pub(super) subject: String,
    /// The whole text.
    pub(super) body: String,
}

/// An alert that cannot be made an e-mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    #[error("{0} is no mail address")]
    Address(String),
    #[error("the mail cannot be composed")]
    Email(#[from] lettre::error::Error),
}

/// The part of the alerts about a virtual service that is the same in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) alerts: Alerts,
    pub(super) service_name: Option<String>,
    pub(super) comment: Option<String>,
}

impl Template {
    /// Composes the alert about a line of the log of this host, with its reason unless that is empty.
    pub(super) fn message(&self, text: &str, reason: &str, phase: Phase, host: &str) -> Message {
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
        Message {
            alerts: self.alerts.clone(),
            subject,
            body,
        }
    }
}

impl Message {
    /// Composes the e-mail. Sender is the machine's root unless the file names another. Each recipient is an
    /// address of its own: ldirectord gave several as one to the mail server, which refused them.
    pub(super) fn email(&self, host: &str) -> Result<Email, MessageError> {
        let from = match &self.alerts.from {
            Some(from) => mailbox(from)?,
            None => mailbox(&format!("root@{host}"))?,
        };
        let mut email = Email::builder().from(from).subject(&self.subject);
        for to in &self.alerts.to {
            email = email.to(mailbox(to)?);
        }
        Ok(email.body(self.body.clone())?)
    }
}

fn mailbox(text: &str) -> Result<Mailbox, MessageError> {
    text.parse()
        .map_err(|_| MessageError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(to: &[&str]) -> Template {
        Template {
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
    fn a_message_holds_log_line_host_and_phase_of_the_daemon() {
        let text = "Deleted real server: 10.0.0.1:80 (10.0.0.9:80)";
        let message = template(&[]).message(text, "HTTP 503", Phase::Running, "lb1");
        assert_eq!(message.subject, format!("[Web Shop] {text}"));
        assert_eq!(
            message.body,
            format!(
                "ldirectord host: lb1\nLog-Message: [Web Shop] {text}\nDaemon-Status: running\n\n\
                 Reason: HTTP 503\nService name: Web Shop\nComment: the shop\n"
            )
        );
        let bare = Template {
            service_name: None,
            comment: None,
            ..template(&[])
        };
        assert_eq!(
            bare.message(text, "", Phase::Reloading, "lb1").body,
            format!("ldirectord host: lb1\nLog-Message: {text}\nDaemon-Status: reloading\n")
        );
    }

    #[test]
    fn each_recipient_is_one_of_its_own() {
        let template = template(&["a@example.com", "B <b@example.com>"]);
        let message = template.message("text", "", Phase::Running, "lb1");
        let email = message.email("lb1").expect("an e-mail");
        let to: Vec<_> = email
            .envelope()
            .to()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(to, ["a@example.com", "b@example.com"]);
        let from = email.envelope().from().map(ToString::to_string);
        assert_eq!(from.as_deref(), Some("director@example.com"));
    }

    #[test]
    fn without_a_sender_it_is_the_machines_root() {
        let mut message = template(&["a@example.com"]).message("text", "", Phase::Running, "lb1");
        message.alerts.from = None;
        let email = message.email("lb1").expect("an e-mail");
        let from = email.envelope().from().map(ToString::to_string);
        assert_eq!(from.as_deref(), Some("root@lb1"));
    }

    #[test]
    fn a_wrong_address_is_named() {
        let message = template(&["nobody"]).message("text", "", Phase::Running, "lb1");
        let error = message.email("lb1").expect_err("no address");
        assert_eq!(error.to_string(), "nobody is no mail address");
    }

    #[test]
    fn an_answer_of_a_server_cannot_add_header_lines() {
        let template = template(&["a@example.com"]);
        let message = template.message("bad\r\nBcc: c@example.com", "", Phase::Running, "lb1");
        let email = message.email("lb1").expect("an e-mail");
        let text = String::from_utf8(email.formatted()).expect("text");
        let (headers, _) = text.split_once("\r\n\r\n").expect("headers and a body");
        assert!(
            headers.lines().all(|line| !line.starts_with("Bcc:")),
            "{headers}"
        );
    }
}
