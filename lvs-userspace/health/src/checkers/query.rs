//! A query as mysql, pgsql and oracle make it: a login and, if there is a query, at least one row.

use std::borrow::Cow;

use crate::credentials::Credentials;
use crate::lint::Lint;
use crate::options::Options;
use crate::outcome::{Failure, phrase};
use crate::pattern::Pattern;
use crate::probe::Found;

/// A query with at least one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Query {
    /// Login to the data base.
    pub credentials: Credentials,
    /// Data base.
    pub database: String,
    /// The query; empty: the login is enough.
    pub query: String,
    /// Pattern that one of the rows must match: its columns with tabs between them, `NULL` for none.
    pub receive: Option<Pattern>,
}

impl Query {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            credentials: options.credentials.clone(),
            database: options.database.clone(),
            query: options.bare_request().to_owned(),
            receive: options.row.clone(),
        }
    }

    pub(super) fn lint(&self, lint: &mut Lint) {
        if self.credentials.login.is_empty() || self.query.is_empty() {
            lint.warn(
                "a query needs login and request",
                "add login, passwd, database and request = \"SELECT …\"",
            );
        }
        if lint.has_receive {
            lint.warn("receive is not looked at by this service", "row is");
        }
    }
}

pub(super) const LOGIN: &str = "answer to the login";
pub(super) const QUERY: &str = "answer to the query";

/// The answer that a failure expected.
pub(super) fn expected(awaited: &str) -> &'static str {
    match awaited {
        QUERY => "a row",
        _ => "a login",
    }
}

/// The rows of an answer, as they come in.
///
/// A row's text is its columns with tabs between them, `NULL` for no value.
pub(super) struct Rows<'a> {
    receive: Option<&'a Pattern>,
    /// The first: the one that is shown.
    first: Option<String>,
    accepted: Option<String>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        Self {
            receive: query.receive.as_ref(),
            first: None,
            accepted: None,
        }
    }

    /// Adds a row; true if no further one can change the outcome.
    ///
    /// With a negative pattern, whatever is to be found in any row is bad: they are all read.
    pub(super) fn add(&mut self, row: &str) -> bool {
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

    /// The outcome, once the last row that counts has been added.
    pub(super) fn outcome(self) -> Found {
        match (self.accepted, self.first) {
            (Some(row), _) => Ok(phrase("row", &row)),
            (None, Some(row)) => {
                let expected = self.receive.map(ToString::to_string);
                Err(Failure::answer(
                    phrase("row", &row),
                    expected.unwrap_or_default(),
                ))
            }
            (None, None) => Err(Failure::answer("no row", "one or more")),
        }
    }
}

/// A row's text.
pub(super) fn text<'a>(columns: impl Iterator<Item = Option<Cow<'a, str>>>) -> String {
    let columns: Vec<_> = columns
        .map(|column| column.unwrap_or("NULL".into()))
        .collect();
    columns.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds rows as a data base would: until no more are wanted.
    fn outcome(receive: Option<&Pattern>, rows: &[&str]) -> (String, usize) {
        let mut added = Rows {
            receive,
            first: None,
            accepted: None,
        };
        let mut read = 0;
        for row in rows {
            read += 1;
            if added.add(row) {
                break;
            }
        }
        let said = match added.outcome() {
            Ok(found) => found,
            Err(failure) => failure.to_string(),
        };
        (said, read)
    }

    #[test]
    fn one_row_is_enough_unless_its_text_matters() {
        assert_eq!(
            outcome(None, &[]),
            ("no row, expected one or more".into(), 0)
        );
        assert_eq!(outcome(None, &["1", "2"]), ("row \"1\"".into(), 1));
        let two = Pattern::compile("^2$", false).unwrap();
        assert_eq!(
            outcome(Some(&two), &["1", "2", "3"]),
            ("row \"2\"".into(), 2)
        );
        assert_eq!(
            outcome(Some(&two), &["1", "3"]),
            ("row \"1\", expected \"^2$\"".into(), 2)
        );
    }

    #[test]
    fn what_must_not_be_there_is_looked_for_in_every_row() {
        let not_two = Pattern::compile("^2$", true).unwrap();
        assert_eq!(
            outcome(Some(&not_two), &["1", "3"]),
            ("row \"3\"".into(), 2)
        );
        assert_eq!(
            outcome(Some(&not_two), &["1", "2", "3"]),
            ("row \"2\", expected not \"^2$\"".into(), 2)
        );
        assert_eq!(
            outcome(Some(&not_two), &[]),
            ("no row, expected one or more".into(), 0)
        );
    }

    #[test]
    fn the_columns_of_a_row_have_tabs_between_them() {
        let columns = [Some("a".into()), None, Some("b".into())];
        assert_eq!(text(columns.into_iter()), "a\tNULL\tb");
    }
}
