//! Authentication and rights of clients: passwords, tokens, and requests that are too many or too large.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use lvs_api::route::Route;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use crate::credentials::Credentials;
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

/// The shortest time until a wrong password is answered.
const SLOWED: Duration = Duration::from_millis(500);

/// The client of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The users and their recent requests.
pub(crate) struct Access {
    file: Option<PathBuf>,
    /// None: without a file everybody may read, and nobody change anything.
    users: RwLock<Option<Users>>,
    known: Mutex<Known>,
    secret: [u8; 32],
    throttle: Mutex<Throttle>,
    hashing: Arc<Semaphore>,
}

/// Passwords that were right, by a digest with a secret: hashing each time would cost a browser's every request a
/// quarter of a second.
#[derive(Default)]
struct Known {
    by_digest: HashMap<[u8; 32], Identity>,
    /// The number of times that the file of users was read again: what a password was compared with may be of before.
    generation: u64,
}

impl Access {
    /// Reads the file of users, if there is one.
    pub(crate) fn new(file: Option<PathBuf>) -> Result<Self, UsersError> {
        let users = file.as_deref().map(Users::read).transpose()?;
        Ok(Self::of(file, users))
    }

    fn of(file: Option<PathBuf>, users: Option<Users>) -> Self {
        let mut secret = [0; 32];
        // Without it digests would be those of the passwords alone, which are in memory only.
        let _ = getrandom::fill(&mut secret);
        Self {
            file,
            users: RwLock::new(users),
            known: Mutex::default(),
            secret,
            throttle: Mutex::default(),
            hashing: Arc::new(Semaphore::new(HASHING)),
        }
    }

    /// Reads the file again; one that is wrong changes nothing.
    pub(crate) fn reload(&self) -> Result<(), UsersError> {
        let users = self.file.as_deref().map(Users::read).transpose()?;
        *self.users.write() = users;
        let mut known = self.known.lock();
        known.generation += 1;
        known.by_digest.clear();
        Ok(())
    }

    /// Identifies the client.
    async fn identify(
        self: &Arc<Self>,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Result<Identity, Response> {
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
        if let Some(identity) = self.known.lock().by_digest.get(&digest) {
            return Ok(identity.clone());
        }
        let credentials = Credentials::parse(given);
        // A token takes one digest, and cannot be guessed: who has it does not wait for those who guess.
        if let Credentials::Token(token) = &credentials
            && let Some(users) = &*self.users.read()
            && let Some(identity) = users.by_token(token)
        {
            return Ok(identity);
        }
        // A task of its own: a client that goes away would save itself the wait and the line in the log.
        let attempt = tokio::spawn(Arc::clone(self).attempt(digest, credentials, peer.ip()));
        match attempt.await {
            Ok(outcome) => outcome,
            Err(_) => Err(problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the password could not be checked",
            )),
        }
    }

    /// Finds the user of these credentials, as far as the client may try now.
    async fn attempt(
        self: Arc<Self>,
        digest: [u8; 32],
        credentials: Credentials,
        client: IpAddr,
    ) -> Result<Identity, Response> {
        let wrong = || unauthorized("the name or the password is wrong");
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        let turn = turn.map_err(|_| wrong())?;
        let generation = {
            let known = self.known.lock();
            // The same may have been tried while this one waited.
            if let Some(identity) = known.by_digest.get(&digest) {
                return Ok(identity.clone());
            }
            known.generation
        };
        // It counts as wrong until it is found to be right: many at once would all pass otherwise.
        let attempt = self.throttle.lock().attempt(client, Instant::now());
        let attempt = attempt.map_err(|wait| too_many("too many wrong passwords", wait))?;
        let named = credentials.named();
        if let Some(identity) = self.check(credentials, turn).await {
            self.throttle.lock().succeeded(client, &attempt);
            self.remember(digest, identity.clone(), generation);
            return Ok(identity);
        }
        warn!("HTTP: {named} from {client}, number {}", attempt.number);
        tokio::time::sleep(SLOWED).await;
        Err(wrong())
    }

    /// Finds the user of a password. Hashing keeps its turn to the end.
    async fn check(
        &self,
        credentials: Credentials,
        turn: OwnedSemaphorePermit,
    ) -> Option<Identity> {
        let Credentials::Password { name, password } = credentials else {
            return None;
        };
        let (hash, identity) = self.users.read().as_ref()?.hash(&name);
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            bcrypt::verify(password, &hash)
        });
        let right = matches!(verified.await, Ok(Ok(true)));
        identity.filter(|_| right)
    }

    /// Remembers a password that was right, unless the users were read again since.
    fn remember(&self, digest: [u8; 32], identity: Identity, generation: u64) {
        let mut known = self.known.lock();
        if known.generation != generation {
            return;
        }
        if known.by_digest.len() >= REMEMBERED {
            known.by_digest.clear();
        }
        known.by_digest.insert(digest, identity);
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
            let route = Route::find(request.method(), request.uri().path());
            // Some that read have a method like those that change.
            let logged = is_restricted(request.method()) && !route.is_some_and(Route::reads);
            let asked = logged.then(|| format!("{} {}", request.method(), request.uri().path()));
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

/// True if a request with this method needs more than the right to read.
fn is_restricted(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

async fn allowed(
    access: &Arc<Access>,
    request: Request,
    peer: SocketAddr,
) -> Result<(Request, Identity), Response> {
    if let Err(wait) = access.throttle.lock().request(peer.ip(), Instant::now()) {
        return Err(too_many("too many requests", wait));
    }
    let identity = access.identify(request.headers(), peer).await?;
    if !is_restricted(request.method()) {
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
    use std::net::Ipv4Addr;

    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuq0s2nVjCx2HAWzYtnPMs3Ht7ZT7qRB2";

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

    fn access() -> Arc<Access> {
        let token = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        let text = format!("anna:{HASH}:read\np:sha256-{token}:read\n");
        Arc::new(Access::of(None, Some(Users::parse(&text).unwrap())))
    }

    fn authorization(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    /// Anna with a wrong password.
    const WRONG: &str = "Basic YW5uYTp3cm9uZw==";

    #[tokio::test]
    async fn clients_that_go_away_have_tried_all_the_same() {
        let access = access();
        let headers = authorization(WRONG);
        for _ in 0..3 {
            let identify = access.identify(&headers, PEER);
            // It is dropped while the password is hashed.
            assert!(
                tokio::time::timeout(Duration::ZERO, identify)
                    .await
                    .is_err()
            );
        }
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            let refused = access.identify(&headers, PEER).await.unwrap_err();
            if refused.status() == StatusCode::TOO_MANY_REQUESTS {
                break;
            }
            assert!(Instant::now() < limit, "nothing was noted");
        }
        assert!(
            access
                .identify(&authorization("Bearer secret"), PEER)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn many_guesses_at_once_are_no_more_than_one_after_the_other() {
        let access = access();
        let guesses = (0..32).map(|_| {
            let access = Arc::clone(&access);
            tokio::spawn(async move {
                let refused = access.identify(&authorization(WRONG), PEER).await;
                refused.unwrap_err().status()
            })
        });
        let mut tried = 0;
        for guess in guesses.collect::<Vec<_>>() {
            tried += usize::from(guess.await.unwrap() == StatusCode::UNAUTHORIZED);
        }
        // Three, and more only after their waits.
        assert!(tried < 10, "{tried}");
    }

    #[test]
    fn passwords_of_users_that_were_read_again_are_not_remembered() {
        let access = access();
        let anna = Identity {
            name: "anna".to_owned(),
            right: Right::Read,
        };
        access.reload().unwrap();
        access.remember([1; 32], anna.clone(), 0);
        assert!(access.known.lock().by_digest.is_empty());
        access.remember([1; 32], anna, 1);
        assert_eq!(access.known.lock().by_digest.len(), 1);
    }

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
