//! Dials one peer, again and again, and tells it of the connections of this director.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, sleep_until, timeout};

use super::frame::{self, Broken, HEARTBEAT, SILENCE};
use super::hello::Hello;
use super::item::{Item, Items};
use super::link::{Out, lock};
use super::message::MAX_LENGTH;
use super::refusal::Refusal;
use super::seal::{Handshake, LONGEST_GREETING, Opener, Seal, Sealed};
use super::shared::Shared;
use super::tell::Teller;
use super::window::Window;
use lvs_dataplane::clock;

/// From one attempt to the next: a network that is back is found within that, whatever TCP thinks of it.
const REDIAL: Duration = Duration::from_millis(300);
/// How long an address may take to answer.
const ANSWER: Duration = Duration::from_millis(500);
/// From one scan of the tables to the next.
const SCAN: Duration = Duration::from_secs(1);

/// What both directions of a session know.
#[derive(Default)]
struct Session {
    window: Mutex<Window>,
    /// The window may be open again.
    moved: Notify,
}

/// Keeps a peer told, for ever.
pub(super) async fn keep(shared: Arc<Shared>, out: Arc<Out>) {
    loop {
        let begun = Instant::now();
        let broken = match connect(&shared, &out).await {
            Ok((stream, sealed, hello)) => {
                shared.reached(&out, &hello);
                let broken = run(&shared, &out, stream, sealed).await;
                shared.lost(&out, &broken);
                broken
            }
            Err(broken) => broken,
        };
        if let Broken::Refused(why) = broken {
            shared.refusals.count(why);
        }
        out.is_away(&broken);
        let pause = REDIAL.saturating_sub(begun.elapsed());
        sleep(pause.max(HEARTBEAT)).await;
    }
}

async fn connect(shared: &Shared, out: &Out) -> Result<(TcpStream, Sealed, Hello), Broken> {
    let addresses: Vec<SocketAddr> = match out.address.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host(&out.address)
            .await
            .map_err(|error| Broken::Name(format!("its name is not found: {error}")))?
            .collect(),
    };
    let mut broken = Broken::Name("its name has no address".to_owned());
    for address in addresses {
        match timeout(ANSWER, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                let handshake = timeout(SILENCE, shake_hands(shared, stream)).await;
                return handshake.unwrap_or(Err(Broken::Unanswered));
            }
            Ok(Err(error)) => broken = error.into(),
            Err(_) => broken = Broken::Unanswered,
        }
    }
    Err(broken)
}

async fn shake_hands(
    shared: &Shared,
    mut stream: TcpStream,
) -> Result<(TcpStream, Sealed, Hello), Broken> {
    let mut handshake = Handshake::begin(&shared.key)?;
    let greeting = handshake.write(&shared.hello().to_bytes())?;
    frame::greet(&mut stream, &greeting).await?;
    let answer = match frame::read(&mut stream, LONGEST_GREETING).await {
        Err(Broken::Network(_)) => return Err(Broken::HungUp),
        answer => answer?,
    };
    let hello = Hello::read(&handshake.read(&answer)?)?;
    if hello.instance == shared.instance {
        return Err(Refusal::Itself.into());
    }
    Ok((stream, handshake.finish()?, hello))
}

async fn run(shared: &Arc<Shared>, out: &Out, stream: TcpStream, sealed: Sealed) -> Broken {
    let (read, write) = stream.into_split();
    let session = Session::default();
    let ended = tokio::select! {
        ended = answers(out, &session, read, sealed.opener) => ended,
        ended = tell(shared, out, &session, write, sealed.seal) => ended,
    };
    match ended {
        Err(broken) => broken,
        Ok(never) => match never {},
    }
}

/// Reads what the peer answers.
async fn answers(
    out: &Out,
    session: &Session,
    mut read: OwnedReadHalf,
    mut opener: Opener,
) -> Result<Infallible, Broken> {
    loop {
        let sealed = frame::read(&mut read, usize::from(u16::MAX)).await?;
        let frame = opener.open(&sealed)?;
        for item in Items(&frame) {
            match item? {
                Item::Taken(taken) => {
                    if !lock(&session.window).taken(taken.frame.get()) {
                        return Err(Refusal::Item.into());
                    }
                    out.has_followed(taken.scan.get());
                }
                Item::Missing(id) => out.misses(id),
                _ => return Err(Refusal::Item.into()),
            }
        }
        out.lags(lock(&session.window).lag(Instant::now()));
        session.moved.notify_one();
    }
}

/// Tells the peer what is new.
async fn tell(
    shared: &Arc<Shared>,
    out: &Out,
    session: &Session,
    mut write: OwnedWriteHalf,
    mut seal: Seal,
) -> Result<Infallible, Broken> {
    let mut teller = Teller::new(shared.view().ways());
    let mut events = Vec::new();
    let mut scanned: Option<Instant> = None;
    // The first frame is empty: it proves that this director shook hands itself.
    let mut spoke = send(session, &mut write, &mut seal, &[]).await?;
    loop {
        let now = Instant::now();
        out.lags(lock(&session.window).lag(now));
        if lock(&session.window).is_open() {
            let due = scanned.is_none_or(|at| now.duration_since(at) >= SCAN);
            if !teller.is_scanning() && (out.is_asked_to_scan() || due) {
                scanned = Some(now);
                out.scan_begins(teller.begin_scan());
            }
            for id in out.take_again() {
                teller.repeat(id);
                events.push(id);
            }
            out.take_events(&mut events);
            let mut frame = Vec::new();
            out.take_messages(&mut frame, MAX_LENGTH / 4);
            if !events.is_empty() || teller.is_scanning() {
                let shared = Arc::clone(shared);
                (teller, frame, events) = spawn_blocking(move || {
                    teller.fill(shared.view(), &mut frame, &mut events, clock::now());
                    (teller, frame, events)
                })
                .await?;
                out.is_told(teller.connections(), teller.progress());
            }
            if !frame.is_empty() || spoke.elapsed() >= HEARTBEAT {
                spoke = send(session, &mut write, &mut seal, &frame).await?;
            }
            if teller.is_scanning() || !events.is_empty() {
                continue;
            }
        }
        // With a window that stays closed there is nothing to say but to wait for the answer.
        let until = (spoke + HEARTBEAT).max(now + Duration::from_millis(10));
        tokio::select! {
            () = out.wake.notified() => {}
            () = session.moved.notified() => {}
            () = sleep_until(until.into()) => {}
        }
    }
}

/// Sends a frame; returns when.
async fn send(
    session: &Session,
    write: &mut OwnedWriteHalf,
    seal: &mut Seal,
    frame: &[u8],
) -> Result<Instant, Broken> {
    let sealed = seal.seal(frame)?;
    let now = Instant::now();
    lock(&session.window).sent(now);
    write.write_all(&sealed).await?;
    Ok(now)
}
