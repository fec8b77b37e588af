//! An answer, and whether it is good.

use std::ops::RangeInclusive;

use bytes::BytesMut;
use hyper::{HeaderMap, StatusCode};

use super::settings::Http;
use crate::outcome::{Failure, excerpt};
use crate::probe::Found;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As much of it as the check reads.
    pub(super) body: BytesMut,
    /// There was more.
    pub(super) cut: bool,
    /// It has no head.
    pub(super) plain: bool,
}

impl Answer {
    /// The outcome of a check that this answer ends.
    pub(super) fn judge(&self, http: &Http, redirected: &str) -> Found {
        if self.plain {
            let accepted = http
                .receive
                .as_ref()
                .is_some_and(|it| it.accepts(&self.body));
            return if accepted {
                Ok(format!("an answer without a head{redirected}"))
            } else {
                Err(Self::no_http())
            };
        }
        let status = format!("HTTP {}{redirected}", self.status.as_u16());
        if !self.is_good(http) {
            return Err(Failure::answer(status, expected(&http.status)));
        }
        match &http.receive {
            Some(pattern) if !pattern.accepts(&self.body) => {
                let said = match (self.body.is_empty(), self.cut) {
                    (true, _) => " with an empty body".to_owned(),
                    (false, true) => {
                        let (read, said) = (self.body.len(), excerpt(&self.body));
                        format!(" with the first {read} bytes {said}")
                    }
                    (false, false) => format!(" with {}", excerpt(&self.body)),
                };
                Err(Failure::answer(status + &said, pattern.to_string()))
            }
            _ => Ok(status),
        }
    }

    /// The failure of an answer that is something else.
    pub(super) fn no_http() -> Failure {
        Failure::answer("something else", "HTTP/1.1")
    }

    /// The status is one of those that the check expects.
    pub(super) fn is_good(&self, http: &Http) -> bool {
        if http.status.is_empty() {
            return self.status.is_success();
        }
        let code = self.status.as_u16();
        http.status.iter().any(|range| range.contains(&code))
    }
}

/// `2xx`, `200 to 204 or 401`.
fn expected(status: &[RangeInclusive<u16>]) -> String {
    if status.is_empty() {
        return "2xx".to_owned();
    }
    let ranges: Vec<String> = status
        .iter()
        .map(|range| match (*range.start(), *range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) if first % 100 == 0 && last == first + 99 => format!("{}xx", first / 100),
            (first, last) => format!("{first} to {last}"),
        })
        .collect();
    ranges.join(" or ")
}
