//! One request and its answer.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::pending;
use std::io;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use super::answer::Answer;
use super::destination::{Destination, port};
use super::settings::{Http, Limits};
use crate::credentials::Credentials;
use crate::outcome::{Failure, excerpt};
use crate::probe::Probe;
use crate::probe::connection::Connection;
use crate::probe::tls;

/// `User-Agent` of a probe.
const AGENT: &str = concat!("lvsd/", env!("CARGO_PKG_VERSION"));
/// The library's words for what came before the request was sent; it has no name for this error.
const UNEXPECTED: &str = "received unexpected message from connection";
/// Header lines of a proxy's consent at most.
const LINES: usize = 100;

/// Asks once.
pub(super) async fn ask(
    probe: &Probe<'_>,
    http: &Http,
    to: &Destination,
) -> Result<Answer, Failure> {
    let request = request(http, to)?;
    let limits = http.limits;
    let connection = open(probe, to).await?.limited_to(limits.answer());
    let failure = |awaited, error: &hyper::Error| failure(awaited, error, limits);
    probe.awaits("answer");
    let (mut sender, driver) = http1::Builder::new()
        .max_buf_size(limits.head())
        .max_headers(limits.lines())
        // Small responders say their words alone, and `receive` tells whether it is them (HTTP/0.9, as LWP takes it).
        .http09_responses(http.takes_plain_answers())
        // RFC 9112, section 5.2; and lines that are no header say nothing about the server's health.
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        // No standard asks for it; some servers do.
        .title_case_headers(true)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(|error| failure("answer", &error))?;
    // The error of the connection. The request's own may say no more than that it was not sent.
    let ended = OnceLock::new();
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| {
            match (error.is_canceled(), ended.get()) {
                (true, Some(Some(cause))) => failure("answer", cause),
                (true, _) => Failure::closed("answer"),
                (false, _) => failure("answer", &error),
            }
        })?;
        probe.awaits("rest of the answer");
        read(response, limits).await
    };
    let driver = async {
        let _ = ended.set(driver.await.err());
        // The exchange ends, too.
        pending::<Infallible>().await
    };
    tokio::select! {
        // The connection first: the exchange may end because it did.
        biased;
        never = driver => match never {},
        answer = exchange => answer,
    }
}

/// Connects to a destination, with the TLS it asks for.
async fn open<'p>(probe: &'p Probe<'p>, to: &Destination) -> Result<Connection<'p>, Failure> {
    let mut connection = Connection::open_to(probe, to.address).await?;
    if let (true, "https") = (to.proxied, to.url.scheme()) {
        tunnel(&mut connection, &to.url).await?;
    }
    match &to.tls {
        Some(tls) => connection.start_tls(tls).await,
        None => Ok(connection),
    }
}

fn request(http: &Http, to: &Destination) -> Result<Request<Empty<Bytes>>, Failure> {
    // RFC 9112, section 3.2: a proxy gets the whole URL, unless it only passes TLS on.
    let uri = if to.proxied && to.url.scheme() == "http" {
        &to.url[..Position::AfterQuery]
    } else {
        &to.url[Position::BeforePath..Position::AfterQuery]
    };
    let mut request = Request::builder()
        .method(http.method.as_str())
        .uri(uri)
        .header(HOST, &to.host)
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close");
    if to.trusted && !http.credentials.login.is_empty() {
        request = request.header(AUTHORIZATION, basic(&http.credentials));
    }
    request
        .body(Empty::new())
        .map_err(|error| Failure::Own(format!("\"{}\": {error}", http.request)))
}

/// RFC 7617.
fn basic(credentials: &Credentials) -> String {
    let pair = format!("{}:{}", credentials.login, credentials.password);
    format!("Basic {}", STANDARD.encode(pair))
}

async fn read(
    response: hyper::Response<hyper::body::Incoming>,
    limits: Limits,
) -> Result<Answer, Failure> {
    let (head, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    let mut cut = false;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| failure("rest of the answer", &error, limits))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        let room = limits.body() - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            cut = true;
            break;
        }
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
        cut,
        plain: head.version == Version::HTTP_09,
    })
}

fn failure(awaited: &'static str, error: &hyper::Error, limits: Limits) -> Failure {
    if error.is_parse_too_large() {
        let (head, lines) = (limits.head, limits.lines());
        let found = format!("a head of more than {head} bytes or {lines} lines");
        return Failure::answer(found, "a shorter one");
    }
    if error.to_string() == UNEXPECTED {
        return Failure::answer("an answer before the request", "one after it");
    }
    if error.is_parse() {
        return Answer::no_http();
    }
    let cause = error.source().and_then(|source| source.downcast_ref());
    match cause {
        Some(cause) => io_failure(awaited, cause, limits),
        None if error.is_incomplete_message() => Failure::closed(awaited),
        None => Failure::answer(excerpt(error.to_string().as_bytes()), "HTTP/1.1"),
    }
}

/// An error that a library has seen.
fn io_failure(awaited: &'static str, cause: &io::Error, limits: Limits) -> Failure {
    let inner = cause.get_ref();
    if inner
        .and_then(|inner| inner.downcast_ref::<Failure>())
        .is_some()
    {
        return Failure::TooLong {
            limit: limits.answer(),
        };
    }
    let source = match cause.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None if cause.kind() == io::ErrorKind::UnexpectedEof => return Failure::closed(awaited),
        None => {
            let words = tls::words(cause).unwrap_or_else(|| cause.to_string());
            io::Error::new(cause.kind(), words)
        }
    };
    Failure::Io { awaited, source }
}

/// Makes a proxy pass the connection on to the host of a URL (RFC 9110, section 9.3.6).
async fn tunnel(connection: &mut Connection<'_>, url: &Url) -> Result<(), Failure> {
    let host = url.host_str().unwrap_or_default();
    let port = port(url);
    let question = format!(
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {AGENT}\r\n\r\n"
    );
    connection.send(question.as_bytes()).await?;
    let consent = connection.line("answer").await?;
    let status = consent
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some(status) if status.len() == 3 && status.starts_with('2') => {}
        Some(status) => {
            let found = format!("HTTP {}", excerpt(status.as_bytes()));
            return Err(Failure::answer(found, "a tunnel"));
        }
        None => return Err(Failure::answer(excerpt(consent.as_bytes()), "HTTP/1.1")),
    }
    for _ in 0..LINES {
        if connection.line("rest of the answer").await?.is_empty() {
            return Ok(());
        }
    }
    Err(Failure::answer(
        format!("more than {LINES} lines of consent"),
        "a tunnel",
    ))
}
