//! `pop`, `pops`: a greeting and, if there is a name to log in with, a login (RFC 1939).

use super::connection::Connection;
use super::{Failure, Found, Probe, dialogue};
use crate::check::Mailbox;

/// Without a name the greeting is what counts.
pub(super) async fn probe(probe: &Probe<'_>, mailbox: &Mailbox) -> Found {
    let mut connection = Connection::open_tls(probe, mailbox.tls.as_ref()).await?;
    let greeting = "greeting";
    let mut found = consent(&mut connection, greeting).await?;
    let credentials = &mailbox.credentials;
    if !credentials.login.is_empty() {
        dialogue::send(&mut connection, &format!("USER {}", credentials.login)).await?;
        consent(&mut connection, "answer to USER").await?;
        dialogue::send(&mut connection, &format!("PASS {}", credentials.password)).await?;
        consent(&mut connection, "answer to PASS").await?;
        "login".clone_into(&mut found);
    }
    dialogue::quit(&mut connection, "QUIT").await;
    Ok(found)
}

/// Reads an answer that must be a positive one (RFC 1939, section 3), and returns it as a phrase.
async fn consent(connection: &mut Connection<'_>, awaited: &'static str) -> Found {
    let line = connection.line(awaited).await?;
    let said = dialogue::phrase(awaited, &line);
    if line == "+OK" || line.starts_with("+OK ") {
        Ok(said)
    } else {
        Err(Failure::answer(said, "+OK"))
    }
}
