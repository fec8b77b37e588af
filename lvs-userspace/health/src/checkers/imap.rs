//! `service = imap` and `imaps`: a greeting and, if there is a name to log in with, a login (RFC 9051;
//! a server that only knows RFC 3501 is asked the same).

use super::mailbox::Mailbox;
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::phrase;
use crate::probe::connection::Connection;
use crate::probe::replies;

/// A check of a mailbox by IMAP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Imap(pub Mailbox);

impl Imap {
    pub(super) fn make(options: &Options) -> Checker {
        Self(Mailbox::new(options, None)).into()
    }

    pub(super) fn make_tls(options: &Options) -> Checker {
        Self(Mailbox::new(options, Some(&options.tls))).into()
    }
}

impl Negotiate for Imap {
    fn name(&self) -> &'static str {
        "imap"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let Self(Mailbox { credentials, tls }) = self;
        let mut connection = Connection::open_tls(probe, tls.as_ref()).await?;
        let awaited = "greeting";
        let line = connection.line(awaited).await?;
        let mut found = phrase(awaited, &line);
        // RFC 9051, section 7.1: BYE refuses.
        if !begins(&line, "* OK") && !begins(&line, "* PREAUTH") {
            return Err(Failure::answer(found, "* OK"));
        }
        if !credentials.login.is_empty() {
            let (login, password) = (quoted(&credentials.login), quoted(&credentials.password));
            replies::send(&mut connection, &format!("1 LOGIN {login} {password}")).await?;
            answer(&mut connection, "1", "answer to LOGIN").await?;
            "login".clone_into(&mut found);
        }
        replies::quit(&mut connection, "2 LOGOUT").await;
        Ok(found)
    }

    fn lint(&self, lint: &mut Lint) {
        self.0.lint(lint);
    }
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
        if begins(&line, &format!("{tag} OK")) {
            return Ok(());
        }
        if begins(&line, tag) || begins(&line, "* BYE") {
            return Err(Failure::answer(phrase(awaited, &line), "OK"));
        }
    }
}

/// The line begins with these words, in any case.
fn begins(line: &str, words: &str) -> bool {
    let same = line
        .get(..words.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(words));
    same && matches!(line.as_bytes().get(words.len()), None | Some(b' '))
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
        assert!(begins("* ok ready", "* OK"));
        assert!(begins("* OK", "* OK"));
        assert!(!begins("* OKAY", "* OK"));
        assert!(!begins("* O", "* OK"));
        assert!(!begins("* Oü", "* OK"));
    }

    #[test]
    fn a_quote_in_a_password_does_not_end_it() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
