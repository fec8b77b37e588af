//! `imap`, `imaps`: a greeting and, if there is a name to log in with, a login (RFC 9051; whoever
//! only knows RFC 3501 is asked the same).

use super::connection::Connection;
use super::{Failure, Found, Probe, dialogue};
use crate::check::Mailbox;

/// Without a name the greeting is what counts.
pub(super) async fn probe(probe: &Probe<'_>, mailbox: &Mailbox) -> Found {
    let mut connection = Connection::open_tls(probe, mailbox.tls.as_ref()).await?;
    let awaited = "greeting";
    let line = connection.line(awaited).await?;
    let mut found = dialogue::phrase(awaited, &line);
    // RFC 9051, section 7.1: BYE refuses.
    if !says(&line, "* OK") && !says(&line, "* PREAUTH") {
        return Err(Failure::answer(found, "* OK"));
    }
    let credentials = &mailbox.credentials;
    if !credentials.login.is_empty() {
        let (login, password) = (quoted(&credentials.login), quoted(&credentials.password));
        dialogue::send(&mut connection, &format!("1 LOGIN {login} {password}")).await?;
        answer(&mut connection, "1", "answer to LOGIN").await?;
        "login".clone_into(&mut found);
    }
    dialogue::quit(&mut connection, "2 LOGOUT").await;
    Ok(found)
}

/// Reads to the answer with this tag, which must be a positive one. What comes before it, without a
/// tag, is news that nobody asked for.
async fn answer(
    connection: &mut Connection<'_>,
    tag: &str,
    awaited: &'static str,
) -> Result<(), Failure> {
    loop {
        let line = connection.line(awaited).await?;
        if says(&line, &format!("{tag} OK")) {
            return Ok(());
        }
        if says(&line, tag) || says(&line, "* BYE") {
            return Err(Failure::answer(dialogue::phrase(awaited, &line), "OK"));
        }
    }
}

/// Whether a line begins with these words, in whatever case.
fn says(line: &str, words: &str) -> bool {
    let begins = line
        .get(..words.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(words));
    begins && matches!(line.as_bytes().get(words.len()), None | Some(b' '))
}

/// A quoted string (RFC 9051, section 4.3).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_and_in_any_case() {
        assert!(says("* ok ready", "* OK"));
        assert!(says("* OK", "* OK"));
        assert!(!says("* OKAY", "* OK"));
        assert!(!says("* O", "* OK"));
        assert!(!says("* Oü", "* OK"));
    }

    #[test]
    fn a_quote_in_a_password_does_not_end_it() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
