//! Makes a health check from the island and compares its result.

use std::net::SocketAddr;
use std::time::Duration;

use lvs_api::model::Family::{self, Ipv4};
use lvs_health::check::{Check, Kind, Path};
use lvs_health::checker::{Checker, Negotiate};
use lvs_health::checkers::query::Query;
use lvs_health::credentials::Credentials;
use lvs_health::outcome::Outcome;
use lvs_health::pattern::Pattern;
use lvs_health::prober::Prober;
use lvs_tests::lab::Island;

/// Far more than any server needs.
const PLENTY: Duration = Duration::from_secs(30);

/// One who asks the servers of an island.
pub(crate) struct Asker<'a> {
    pub(crate) island: &'a Island,
}

impl Asker<'_> {
    /// Makes one probe of what is served at a port.
    pub(crate) fn ask(&self, family: Family, port: u16, checker: impl Into<Checker>) -> Outcome {
        self.run(&check(family, port, checker, PLENTY))
    }

    /// Asks, and expects this sentence of a good server.
    #[track_caller]
    pub(crate) fn good(&self, port: u16, checker: &(impl Negotiate + Clone), text: &str) {
        assert_says(&self.ask(Ipv4, port, checker.clone()), true, text);
    }

    /// Asks, and expects this sentence of a bad server.
    #[track_caller]
    pub(crate) fn bad(&self, port: u16, checker: &(impl Negotiate + Clone), text: &str) {
        assert_says(&self.ask(Ipv4, port, checker.clone()), false, text);
    }

    /// Asks, and expects this sentence, with `LIMIT` for the time that was waited, of a server that
    /// at last says nothing more. How long it takes to get there depends on the machine: the time is
    /// short at first.
    #[track_caller]
    pub(crate) fn silent(&self, port: u16, checker: &(impl Negotiate + Clone), text: &str) {
        let mut limits = [300, 3_000, 30_000].into_iter().peekable();
        while let Some(limit) = limits.next() {
            let timeout = Duration::from_millis(limit);
            let outcome = self.run(&check(Ipv4, port, checker.clone(), timeout));
            let text = text.replace("LIMIT", &format!("{limit} ms"));
            if limits.peek().is_none() || matches(&text, &outcome.text) {
                assert_says(&outcome, false, &text);
                return;
            }
        }
    }

    /// Makes one probe.
    pub(crate) fn run(&self, check: &Check) -> Outcome {
        let ask = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(Prober::default().run(check))
        };
        self.island.namespace().enter(ask).unwrap()
    }
}

/// A check of the island's server.
pub(crate) fn check(
    family: Family,
    port: u16,
    checker: impl Into<Checker>,
    timeout: Duration,
) -> Check {
    Check {
        kind: Kind::Negotiate(checker.into()),
        target: SocketAddr::new(Island::address(family), port),
        path: Path::Own,
        source: None,
        user: None,
        connect_timeout: timeout,
        timeout,
    }
}

/// Asserts what a sentence says: `*` stands for anything, the time in it is left out.
#[track_caller]
pub(crate) fn assert_says(outcome: &Outcome, good: bool, text: &str) {
    let said = without_time(&outcome.text);
    let fits = outcome.good == good && matches(text, &said);
    assert!(
        fits,
        "\nexpected {good}: {text}\nfound    {}: {said}",
        outcome.good
    );
}

/// ` after 12 ms` taken out.
fn without_time(text: &str) -> String {
    let Some((before, after)) = text.split_once(" after ") else {
        return text.to_owned();
    };
    let rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
    match rest.strip_prefix(" ms") {
        Some(rest) => format!("{before}{rest}"),
        None => text.to_owned(),
    }
}

/// Compares a text with a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some((_, after)) = rest.split_once(part) else {
                return false;
            };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

pub(crate) fn credentials(login: &str, password: &str) -> Credentials {
    Credentials {
        login: login.to_owned(),
        password: password.to_owned(),
    }
}

/// The pattern for an answer.
pub(crate) fn pattern(expression: &str) -> Pattern {
    Pattern::compile(expression, false).unwrap()
}

/// A query as somebody with a password.
pub(crate) fn sql(password: &str, database: &str, query: &str, receive: Option<Pattern>) -> Query {
    Query {
        credentials: credentials("probe", password),
        database: database.to_owned(),
        query: query.to_owned(),
        receive,
    }
}

/// A path as an argument.
pub(crate) fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}
