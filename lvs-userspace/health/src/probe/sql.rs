//! `mysql`, `pgsql`, `oracle`: a login and, if there is a query, at least one row.

mod mysql;
mod oracle;
mod postgresql;

use super::{Failure, Found, Probe, dialogue};
use crate::check::{Credentials, Pattern, SqlEngine};

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) database: &'a str,
    pub(super) query: &'a str,
    pub(super) receive: Option<&'a Pattern>,
}

/// Asks the data base's way.
pub(super) async fn probe(probe: &Probe<'_>, engine: SqlEngine, question: Question<'_>) -> Found {
    match engine {
        SqlEngine::Mysql => mysql::probe(probe, &question).await,
        SqlEngine::Postgresql => postgresql::probe(probe, &question).await,
        SqlEngine::Oracle => oracle::probe(probe, &question).await,
    }
}

const LOGIN: &str = "answer to the login";
const QUERY: &str = "answer to the query";

/// What the better answer would have been.
fn expected(awaited: &str) -> &'static str {
    match awaited {
        QUERY => "a row",
        _ => "a login",
    }
}

/// What the rows of an answer amount to, as they come in.
///
/// A row's text is its columns with tabs between them, `NULL` for no value.
struct Rows<'a> {
    receive: Option<&'a Pattern>,
    /// The first: the one that is shown.
    first: Option<String>,
    accepted: Option<String>,
}

impl<'a> Rows<'a> {
    fn new(question: &Question<'a>) -> Self {
        Self {
            receive: question.receive,
            first: None,
            accepted: None,
        }
    }

    /// Takes a row; true if no further one can change the verdict.
    ///
    /// With a negative pattern, whatever is to be found in any row is bad: they are all read.
    fn take(&mut self, row: &str) -> bool {
        if self.first.is_none() {
            self.first = Some(row.to_owned());
        }
        match self.receive {
            None => {
                self.accepted = Some(row.to_owned());
                true
            }
            Some(receive) => {
                let accepted = receive.accepts(row.as_bytes());
                if accepted {
                    self.accepted = Some(row.to_owned());
                } else if receive.is_negative() {
                    self.first = Some(row.to_owned());
                    self.accepted = None;
                }
                accepted != receive.is_negative()
            }
        }
    }

    /// The verdict, once the last row that counts has been taken.
    fn verdict(self) -> Found {
        match (self.accepted, self.first) {
            (Some(row), _) => Ok(dialogue::phrase("row", &row)),
            (None, Some(row)) => {
                let expected = self.receive.map(ToString::to_string);
                Err(Failure::answer(
                    dialogue::phrase("row", &row),
                    expected.unwrap_or_default(),
                ))
            }
            (None, None) => Err(Failure::answer("no row", "one or more")),
        }
    }
}

/// A row's text.
fn text<'a>(columns: impl Iterator<Item = Option<std::borrow::Cow<'a, str>>>) -> String {
    let columns: Vec<_> = columns
        .map(|column| column.unwrap_or("NULL".into()))
        .collect();
    columns.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds rows as a data base would: until no more are wanted.
    fn verdict(receive: Option<&Pattern>, rows: &[&str]) -> (String, usize) {
        let mut taken = Rows {
            receive,
            first: None,
            accepted: None,
        };
        let mut read = 0;
        for row in rows {
            read += 1;
            if taken.take(row) {
                break;
            }
        }
        let said = match taken.verdict() {
            Ok(found) => found,
            Err(failure) => failure.to_string(),
        };
        (said, read)
    }

    #[test]
    fn one_row_is_enough_unless_its_text_matters() {
        assert_eq!(
            verdict(None, &[]),
            ("no row, expected one or more".into(), 0)
        );
        assert_eq!(verdict(None, &["1", "2"]), ("row \"1\"".into(), 1));
        let two = Pattern::compile("^2$", false).unwrap();
        assert_eq!(
            verdict(Some(&two), &["1", "2", "3"]),
            ("row \"2\"".into(), 2)
        );
        assert_eq!(
            verdict(Some(&two), &["1", "3"]),
            ("row \"1\", expected \"^2$\"".into(), 2)
        );
    }

    #[test]
    fn what_must_not_be_there_is_looked_for_in_every_row() {
        let not_two = Pattern::compile("^2$", true).unwrap();
        assert_eq!(
            verdict(Some(&not_two), &["1", "3"]),
            ("row \"3\"".into(), 2)
        );
        assert_eq!(
            verdict(Some(&not_two), &["1", "2", "3"]),
            ("row \"2\", expected not \"^2$\"".into(), 2)
        );
        assert_eq!(
            verdict(Some(&not_two), &[]),
            ("no row, expected one or more".into(), 0)
        );
    }

    #[test]
    fn a_row_is_told_with_tabs() {
        let columns = [Some("a".into()), None, Some("b".into())];
        assert_eq!(text(columns.into_iter()), "a\tNULL\tb");
    }
}
