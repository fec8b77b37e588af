//! Dials one peer, again and again, and sends it the connections of this director.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_dataplane::clock;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until, timeout};

use super::address;
use super::context::Context;
use super::dialed::DialedPeer;
use super::frame::{self, SessionError};
use super::heartbeat::{HEARTBEAT, SILENCE};
use super::hello::{Hello, Versions};
use super::message::MAX_LENGTH;
use super::noise::{Ciphers, Decryptor, Encryptor, Handshake, LONGEST_HANDSHAKE};
use super::record::{FrameRecord, FrameRecords};
use super::refusal::Refusal;
use super::sender::Sender;
use super::window::Window;

/// From one attempt to the next: a network that is back is found within that, whatever TCP thinks of it.
const REDIAL: Duration = Duration::from_millis(300);
/// Time that an address may take to answer.
const ANSWER: Duration = Duration::from_millis(500);
/// From one scan of the tables to the next.
const SCAN: Duration = Duration::from_secs(1);

/// State that both directions of a session share.
#[derive(Default)]
struct DialedSession {
    window: Mutex<Window>,
    /// The window may be open again.
    moved: Notify,
}

/// Dials a peer and sends to it, for ever.
pub(super) async fn run(context: Arc<Context>, peer: Arc<DialedPeer>) {
    loop {
        let begun = Instant::now();
        match connect(&context, &peer).await {
            Ok(Some((stream, ciphers, hello, version))) => {
                let address = stream.peer_addr();
                context.session_begins(&peer, &hello, version);
                let error = serve(&context, &peer, stream, ciphers).await;
                context.session_ended(&peer, &error);
                count(&context, address.ok(), &error);
                peer.set_problem(&error);
            }
            Ok(None) => peer.set_itself(),
            Err(error) => peer.set_problem(&error),
        }
        let pause = REDIAL.saturating_sub(begun.elapsed());
        sleep(pause.max(HEARTBEAT)).await;
    }
}

/// Counts a refusal of the director with this address.
fn count(context: &Context, address: Option<SocketAddr>, error: &SessionError) {
    if let (SessionError::Refused(why), Some(address)) = (error, address) {
        context.refusals.count(address.ip(), *why);
    }
}

/// A session that begins, in a version of the protocol.
type Begun = (TcpStream, Ciphers, Hello, u16);

/// Connects to a peer by any of its addresses; `None`: it is this director itself.
async fn connect(context: &Context, peer: &DialedPeer) -> Result<Option<Begun>, SessionError> {
    let addresses = resolve(&peer.address).await?;
    let resolved = addresses.iter().map(|it| it.ip().to_canonical());
    peer.set_resolved(resolved.collect());
    let mut last = SessionError::Name("its name has no address".to_owned());
    if addresses.is_empty() {
        return Err(last);
    }
    // A name may stand for both directors of a pair.
    let other = |it: &SocketAddr| !address::is_own(*it, context.listening);
    let others: Vec<SocketAddr> = addresses.into_iter().filter(other).collect();
    if others.is_empty() {
        return Ok(None);
    }
    for address in others {
        match timeout(ANSWER, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                let handshake = timeout(SILENCE, shake_hands(context, stream)).await;
                match handshake.unwrap_or(Err(SessionError::Unanswered)) {
                    Ok(begun) => return Ok(Some(begun)),
                    Err(error) => {
                        count(context, Some(address), &error);
                        last = error;
                    }
                }
            }
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = SessionError::Unanswered,
        }
    }
    Err(last)
}

/// The addresses of a peer.
async fn resolve(address: &str) -> Result<Vec<SocketAddr>, SessionError> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let unknown =
        |why: &dyn std::fmt::Display| SessionError::Name(format!("its name is not found: {why}"));
    // An interface behind a link-local address is a name, too: it may come later.
    let parts = address::split(address).ok_or_else(|| unknown(&"it has no port"))?;
    let found = tokio::net::lookup_host(parts).await;
    Ok(found.map_err(|error| unknown(&error))?.collect())
}

async fn shake_hands(context: &Context, mut stream: TcpStream) -> Result<Begun, SessionError> {
    let mut handshake = Handshake::begin(&context.key)?;
    let greeting = handshake.write(&context.hello().to_bytes())?;
    frame::write_handshake(&mut stream, &greeting).await?;
    let answer = match frame::read(&mut stream, LONGEST_HANDSHAKE).await {
        Err(SessionError::Network(_)) => return Err(SessionError::HungUp),
        answer => answer?,
    };
    let (hello, version) = Hello::read(&handshake.read(&answer)?, Versions::OWN)?;
    if hello.instance == context.instance {
        return Err(Refusal::Itself.into());
    }
    Ok((stream, handshake.finish()?, hello, version))
}

async fn serve(
    context: &Arc<Context>,
    peer: &DialedPeer,
    stream: TcpStream,
    ciphers: Ciphers,
) -> SessionError {
    let (read, write) = stream.into_split();
    let session = DialedSession::default();
    let ended = tokio::select! {
        ended = receive_answers(peer, &session, read, ciphers.decryptor) => ended,
        ended = send_frames(context, peer, &session, write, ciphers.encryptor) => ended,
    };
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// Receives the peer's answers.
async fn receive_answers(
    peer: &DialedPeer,
    session: &DialedSession,
    mut read: OwnedReadHalf,
    mut decryptor: Decryptor,
) -> Result<Infallible, SessionError> {
    loop {
        let encrypted = frame::read(&mut read, usize::from(u16::MAX)).await?;
        let frame = decryptor.decrypt(&encrypted)?;
        for record in FrameRecords(&frame) {
            match record? {
                FrameRecord::Acknowledged(all) => {
                    if !session.window.lock().acknowledged(all.frame.get()) {
                        return Err(Refusal::Malformed.into());
                    }
                    peer.scan_applied(all.scan.get());
                }
                FrameRecord::Missing(id) => peer.is_missing(id),
                _ => return Err(Refusal::Malformed.into()),
            }
        }
        peer.set_lag(session.window.lock().lag(Instant::now()));
        session.moved.notify_one();
    }
}

/// Sends the peer what is new.
async fn send_frames(
    context: &Arc<Context>,
    peer: &DialedPeer,
    session: &DialedSession,
    mut write: OwnedWriteHalf,
    mut encryptor: Encryptor,
) -> Result<Infallible, SessionError> {
    let version = peer.version().unwrap_or(0);
    let mut sender = Sender::new(context.tables().entries.sizes(), version);
    let mut events = Vec::new();
    let mut scanned: Option<Instant> = None;
    // The first frame is empty: it proves that this director shook hands itself.
    let mut last = send(session, &mut write, &mut encryptor, &[]).await?;
    loop {
        let now = Instant::now();
        peer.set_lag(session.window.lock().lag(now));
        if session.window.lock().is_open() {
            let due = scanned.is_none_or(|at| now.duration_since(at) >= SCAN);
            if !sender.is_scanning() && (peer.is_asked_to_scan() || due) {
                scanned = Some(now);
                peer.scan_begins(sender.begin_scan());
            }
            for id in peer.drain_resend() {
                sender.resend(id);
                events.push(id);
            }
            peer.drain_events(&mut events);
            let mut frame = Vec::new();
            peer.drain_messages(&mut frame, MAX_LENGTH / 4);
            if !events.is_empty() || sender.is_scanning() {
                let context = Arc::clone(context);
                (sender, frame, events) = spawn_blocking(move || {
                    sender.fill(context.tables(), &mut frame, &mut events, clock::now());
                    (sender, frame, events)
                })
                .await?;
                peer.set_sent(sender.connections(), sender.progress());
            }
            if !frame.is_empty() || last.elapsed() >= HEARTBEAT {
                last = send(session, &mut write, &mut encryptor, &frame).await?;
            }
            if sender.is_scanning() || !events.is_empty() {
                continue;
            }
        }
        // With a window that stays closed there is nothing to do but to wait for the answer.
        let until = (last + HEARTBEAT).max(now + Duration::from_millis(10));
        tokio::select! {
            () = peer.wake.notified() => {}
            () = session.moved.notified() => {}
            () = sleep_until(until.into()) => {}
        }
    }
}

/// Sends a frame; returns when.
async fn send(
    session: &DialedSession,
    write: &mut OwnedWriteHalf,
    encryptor: &mut Encryptor,
    frame: &[u8],
) -> Result<Instant, SessionError> {
    let encrypted = encryptor.encrypt(frame)?;
    let now = Instant::now();
    session.window.lock().sent(now);
    write.write_all(&encrypted).await?;
    Ok(now)
}
