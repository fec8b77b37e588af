//! Who asks, and may they: passwords, tokens, rights, and requests that are too many or too large.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::problem::problem;
use crate::throttle::Throttle;
use crate::users::{Identity, Right, Users, UsersError};

/// Longest body of a request in bytes.
const LONGEST_BODY: usize = 4 << 20;

/// Longest time in which a body has to arrive.
const BODY: Duration = Duration::from_secs(10);

/// Passwords that are hashed at a time: each takes a thread for some milliseconds, or a second.
const HASHING: usize = 2;

/// Passwords and tokens that are remembered at most.
const REMEMBERED: usize = 256;

/// How long the answer to a wrong password takes at least.
const SLOWED: Duration = Duration::from_millis(500);

/// The client of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What is known about who may ask.
pub(crate) struct Access {
    file: Option<PathBuf>,
    /// None: without a file everybody may read, and nobody change anything.
    users: RwLock<Option<Users>>,
    /// Passwords that were right, by a digest with a secret: hashing each time would cost a browser's every request a
    /// quarter of a second.
    known: Mutex<HashMap<[u8; 32], Identity>>,
    secret: [u8; 32],
    throttle: Mutex<Throttle>,
    hashing: Semaphore,
}

impl Access {
    /// Reads the file of users, if there is one.
    pub(crate) fn new(file: Option<PathBuf>) -> Result<Self, UsersError> {
        let users = file.as_deref().map(Users::read).transpose()?;
        let mut secret = [0; 32];
        // Without it digests would be those of the passwords alone, which are in memory only.
        let _ = getrandom::fill(&mut secret);
        Ok(Self {
            file,
            users: RwLock::new(users),
            known: Mutex::default(),
            secret,
            throttle: Mutex::default(),
            hashing: Semaphore::new(HASHING),
        })
    }

    /// Reads the file again; one that is wrong changes nothing.
    pub(crate) fn reload(&self) -> Result<(), UsersError> {
        let users = self.file.as_deref().map(Users::read).transpose()?;
        *self.users.write() = users;
        self.known.lock().clear();
        Ok(())
    }

    /// Who asks.
    async fn identify(&self, headers: &HeaderMap, peer: SocketAddr) -> Result<Identity, Response> {
        if self.users.read().is_none() {
            let (name, right) = ("anyone".to_owned(), Right::Read);
            return Ok(Identity { name, right });
        }
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized(
                "a user name and password, or a token, is needed",
            ));
        };
        let digest: [u8; 32] = Sha256::new()
            .chain_update(self.secret)
            .chain_update(given.as_bytes())
            .finalize()
            .into();
        if let Some(identity) = self.known.lock().get(&digest) {
            return Ok(identity.clone());
        }
        if let Err(wait) = self.throttle.lock().may_try(peer.ip(), Instant::now()) {
            return Err(too_many("too many wrong passwords", wait));
        }
        let (named, identity) = self.check(given).await;
        if let Some(identity) = identity {
            let mut known = self.known.lock();
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(digest, identity.clone());
            return Ok(identity);
        }
        let number = self.throttle.lock().failed(peer.ip(), Instant::now());
        warn!("HTTP: {named} from {}, number {number}", peer.ip());
        tokio::time::sleep(SLOWED).await;
        Err(unauthorized("the name or the password is wrong"))
    }

    /// What was tried, for the log, and whose it is.
    async fn check(&self, given: &HeaderValue) -> (String, Option<Identity>) {
        let unknown = (
            "an Authorization that is neither Basic nor Bearer".to_owned(),
            None,
        );
        let Ok(given) = given.to_str() else {
            return unknown;
        };
        let Some((scheme, value)) = given.split_once(' ') else {
            return unknown;
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            let users = self.users.read();
            let identity = users
                .as_ref()
                .and_then(|users| users.by_token(value.trim()));
            return ("a wrong token".to_owned(), identity);
        }
        let decoded = STANDARD.decode(value.trim()).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (true, Some((name, password))) = (scheme.eq_ignore_ascii_case("basic"), pair) else {
            return unknown;
        };
        let shown: String = name.chars().take(64).collect();
        let named = format!("a wrong password of {shown:?}");
        let found = self.users.read().as_ref().map(|users| users.hash(name));
        let Some((hash, identity)) = found else {
            return (named, None);
        };
        let password = password.to_owned();
        let Ok(_turn) = self.hashing.acquire().await else {
            return (named, None);
        };
        let verified = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let right = matches!(verified, Ok(Ok(true)));
        (named, identity.filter(|_| right))
    }
}

/// Lets a request pass whose sender has the right for it.
pub(crate) async fn guard(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(&Peer(peer)) = request.extensions().get::<Peer>() else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the client is not known");
    };
    match allowed(&access, request, peer).await {
        Err(refused) => refused,
        Ok((mut request, identity)) => {
            let changes = changes(request.method());
            let asked = changes.then(|| format!("{} {}", request.method(), request.uri().path()));
            let name = identity.name.clone();
            request.extensions_mut().insert(identity);
            let answer = next.run(request).await;
            if let Some(asked) = asked {
                info!(
                    "HTTP: {name} from {}: {asked}: {}",
                    peer.ip(),
                    answer.status()
                );
            }
            answer
        }
    }
}

/// True if a request with this method may change something.
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

async fn allowed(
    access: &Access,
    request: Request,
    peer: SocketAddr,
) -> Result<(Request, Identity), Response> {
    if let Err(wait) = access.throttle.lock().request(peer.ip(), Instant::now()) {
        return Err(too_many("too many requests", wait));
    }
    let identity = access.identify(request.headers(), peer).await?;
    if !changes(request.method()) {
        return Ok((request, identity));
    }
    if identity.right < Right::Operate {
        let name = &identity.name;
        let detail = format!("{name} has the right to read, not to operate");
        return Err(problem(StatusCode::FORBIDDEN, detail));
    }
    if !is_same_origin(request.headers()) {
        let detail = "a page of another site sent this request";
        return Err(problem(StatusCode::FORBIDDEN, detail));
    }
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY, to_bytes(body, LONGEST_BODY)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let detail = format!("a body has at most {LONGEST_BODY} bytes");
            return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        Err(_) => {
            let detail = format!("the body did not arrive in {} s", BODY.as_secs());
            return Err(problem(StatusCode::REQUEST_TIMEOUT, detail));
        }
    };
    Ok((Request::from_parts(head, Body::from(body)), identity))
}

/// False if a browser sent the request for a page of another site, which has its user's password then.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or(""))
    };
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return false;
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of == host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn unauthorized(detail: &str) -> Response {
    let mut answer = problem(StatusCode::UNAUTHORIZED, detail);
    let challenge = HeaderValue::from_static("Basic realm=\"lvsd\", charset=\"UTF-8\"");
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

fn too_many(what: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let mut answer = problem(
        StatusCode::TOO_MANY_REQUESTS,
        format!("{what}: try again in {seconds} s"),
    );
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let from = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            is_same_origin(&pairs.collect())
        };
        assert!(from(&[("host", "lb:8080")]));
        assert!(from(&[("host", "lb:8080"), ("origin", "https://lb:8080")]));
        assert!(from(&[
            ("host", "lb:8080"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!from(&[
            ("host", "lb:8080"),
            ("origin", "https://evil.example")
        ]));
        assert!(!from(&[("host", "lb:8080"), ("origin", "null")]));
        assert!(!from(&[
            ("host", "lb:8080"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(!from(&[
            ("host", "lb:8080"),
            ("sec-fetch-site", "same-site")
        ]));
    }
}
