//! `service = pop` and `pops`: a greeting and, if there is a name to log in with, a login (RFC 1939).

use super::mailbox::Mailbox;
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::phrase;
use crate::probe::connection::Connection;
use crate::probe::replies;

/// A check of a mailbox by POP3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pop(pub Mailbox);

impl Pop {
    pub(super) fn make(options: &Options) -> Checker {
        Self(Mailbox::new(options, None)).into()
    }

    pub(super) fn make_tls(options: &Options) -> Checker {
        Self(Mailbox::new(options, Some(&options.tls))).into()
    }
}

impl Negotiate for Pop {
    fn name(&self) -> &'static str {
        "pop"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let Self(Mailbox { credentials, tls }) = self;
        let mut connection = Connection::open_tls(probe, tls.as_ref()).await?;
        let mut found = consent(&mut connection, "greeting").await?;
        if !credentials.login.is_empty() {
            replies::send(&mut connection, &format!("USER {}", credentials.login)).await?;
            consent(&mut connection, "answer to USER").await?;
            replies::send(&mut connection, &format!("PASS {}", credentials.password)).await?;
            consent(&mut connection, "answer to PASS").await?;
            "login".clone_into(&mut found);
        }
        replies::quit(&mut connection, "QUIT").await;
        Ok(found)
    }

    fn lint(&self, lint: &mut Lint) {
        if self.0.credentials.login.is_empty() {
            return lint.warn(
                "without a login the check asks for no more than the greeting",
                "add login and passwd",
            );
        }
        self.0.lint(lint);
    }
}

/// Reads an answer that must be a positive one (RFC 1939, section 3), and returns it as a phrase.
async fn consent(connection: &mut Connection<'_>, awaited: &'static str) -> Found {
    let line = connection.line(awaited).await?;
    let said = phrase(awaited, &line);
    if line == "+OK" || line.starts_with("+OK ") {
        Ok(said)
    } else {
        Err(Failure::answer(said, "+OK"))
    }
}
