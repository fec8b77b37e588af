//! Redirects: which are followed, and how many.

use hyper::StatusCode;
use hyper::header::LOCATION;

use super::destination::{self, Destination};
use super::exchange;
use super::settings::Http;
use crate::outcome::excerpt;
use crate::probe::{Found, Probe};

/// Asks and follows redirects, as ldirectord does, up to the limit of the check.
pub(super) async fn follow(probe: &Probe<'_>, http: &Http, first: Destination) -> Found {
    let mut at = first;
    let mut left = http.redirects;
    let mut redirected = String::new();
    loop {
        let answer = exchange::ask(probe, http, &at).await;
        let answer = answer.map_err(|failure| {
            if at.address == probe.target() {
                failure
            } else {
                failure.of(at.address)
            }
        })?;
        if left == 0 || answer.is_good(http) || !is_redirect(answer.status) {
            return answer.judge(http, &redirected);
        }
        let Some(location) = answer.headers.get(LOCATION) else {
            return answer.judge(http, &redirected);
        };
        left -= 1;
        redirected = format!(" (redirected to {})", excerpt(location.as_bytes()));
        let url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| at.url.join(location).ok())
            .filter(destination::is_possible);
        let Some(url) = url else {
            return answer.judge(http, &redirected);
        };
        at = at.redirected(url, http).await?;
    }
}

/// Those that a GET or HEAD follows (RFC 9110, section 15.4).
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}
