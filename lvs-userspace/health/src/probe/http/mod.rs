//! `service = http`, `https` and `http_proxy`: a request whose answer has a good status and body.
//!
//! HTTP/1.1, one request per connection. The body is read to its end, because a server that hangs or
//! resets in the middle is not well, but no further than [`BODY`]: what comes later is not looked at.

mod exchange;
mod redirect;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use hyper::StatusCode;
use hyper::header::LOCATION;
use url::Url;

use self::exchange::Answer;
use self::redirect::Place;
use super::connection::Connection;
use super::{Failure, Found, Probe};
use crate::check::Http;
use crate::outcome::excerpt;

/// Bytes of a body that are read at most.
pub(super) const BODY: usize = 1 << 20;

/// Asks the server itself; a request that is a whole URL, the host that is named there.
pub(super) async fn probe(probe: &Probe<'_>, http: &Http) -> Found {
    let place = match whole(&http.request) {
        Some(url) => Place::elsewhere(url, http.virtual_host.clone(), http.tls.as_ref()).await?,
        None => Place::own(probe.target(), http)?,
    };
    follow(probe, http, place).await
}

/// Asks another server by way of this one.
pub(super) async fn probe_proxy(probe: &Probe<'_>, http: &Http) -> Found {
    let Some(url) = whole(&http.request) else {
        let why = format!("\"{}\" is no URL to ask a proxy for", http.request);
        return Err(Failure::Own(why));
    };
    let name = http.virtual_host.clone();
    let place = Place::proxied(probe.target(), url, name, http.tls.as_ref());
    follow(probe, http, place).await
}

/// The request, if it is a whole URL.
fn whole(request: &str) -> Option<Url> {
    Url::parse(request)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Asks and follows redirects, as ldirectord does, until there is a verdict.
async fn follow(probe: &Probe<'_>, http: &Http, first: Place) -> Found {
    let mut place = first;
    let mut left = http.redirects;
    let mut redirected = String::new();
    loop {
        let answer = exchange::ask(probe, http, &place).await?;
        if left == 0 || is_good(http, answer.status) || !is_redirect(answer.status) {
            return judge(http, &answer, &redirected);
        }
        let Some(location) = answer.headers.get(LOCATION) else {
            return judge(http, &answer, &redirected);
        };
        left -= 1;
        redirected = format!(" (redirected to {})", excerpt(location.as_bytes()));
        let url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| place.url.join(location).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            return judge(http, &answer, &redirected);
        };
        place = place.redirected(url, http).await?;
    }
}

fn judge(http: &Http, answer: &Answer, redirected: &str) -> Found {
    let status = format!("HTTP {}{redirected}", answer.status.as_u16());
    if !is_good(http, answer.status) {
        return Err(Failure::answer(status, expected(&http.status)));
    }
    match &http.receive {
        Some(pattern) if !pattern.accepts(&answer.body) => {
            let said = match (answer.body.is_empty(), answer.cut) {
                (true, _) => " with an empty body".to_owned(),
                (false, true) => format!(" with the first {BODY} bytes {}", excerpt(&answer.body)),
                (false, false) => format!(" with {}", excerpt(&answer.body)),
            };
            Err(Failure::answer(status + &said, pattern.to_string()))
        }
        _ => Ok(status),
    }
}

/// Those that a GET or HEAD follows (RFC 9110, section 15.4).
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn is_good(http: &Http, status: StatusCode) -> bool {
    if http.status.is_empty() {
        return status.is_success();
    }
    let code = status.as_u16();
    http.status.iter().any(|range| range.contains(&code))
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

/// Connects to where a place is, with the TLS it asks for.
async fn open<'p>(probe: &'p Probe<'p>, place: &Place) -> Result<Connection<'p>, Failure> {
    let to: SocketAddr = place.to;
    let mut connection = Connection::open_to(probe, to).await?;
    if let (true, "https") = (place.proxied, place.url.scheme()) {
        exchange::tunnel(&mut connection, &place.url).await?;
    }
    match &place.tls {
        Some(tls) => connection.start_tls(tls).await,
        None => Ok(connection),
    }
}
