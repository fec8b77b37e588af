//! Answers peers that dial, and takes what they tell.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::frame::{self, Broken, HEARTBEAT, SILENCE};
use super::hello::Hello;
use super::item::{Item, Taken};
use super::link::{In, lock};
use super::message::MAX_LENGTH;
use super::refusal::Refusal;
use super::seal::{Handshake, LONGEST_GREETING, Opener, Seal, Sealed};
use super::shared::Shared;
use super::take::Taker;
use lvs_dataplane::clock;

/// Connections of those who did not prove yet that they have the key.
const STRANGERS: usize = 32;
/// Numbers that one answer asks for at most.
const MISSING: usize = MAX_LENGTH / 8;

/// What both directions of a session know.
struct Session {
    taker: Arc<Mutex<Taker>>,
    answer: Mutex<Answer>,
    /// There is something to answer.
    ready: Notify,
}

/// What the peer has to be told.
#[derive(Default)]
struct Answer {
    frame: u64,
    scan: u32,
    missing: Vec<u32>,
}

/// Answers whoever dials, for ever.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely there are no more file descriptors.
                warn!("peers cannot connect: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&strangers).try_acquire_owned() else {
            shared.refusals.count(Refusal::Crowd);
            continue;
        };
        let shared = Arc::clone(&shared);
        sessions.spawn(async move {
            let greeted = timeout(SILENCE, greet(&shared, stream)).await;
            drop(permit);
            let broken = match greeted.unwrap_or(Err(Refusal::Silence.into())) {
                Ok((stream, sealed, hello)) => serve(&shared, address, stream, sealed, hello).await,
                Err(broken) => broken,
            };
            if let Broken::Refused(why) = broken {
                shared.refusals.count(why);
            }
            debug!("the connection of {address} ended: {broken}");
        });
    }
}

/// Shakes hands. Who only repeats what somebody said once cannot go on: the first frame is sealed with
/// what was made for this session.
async fn greet(
    shared: &Shared,
    mut stream: TcpStream,
) -> Result<(TcpStream, Sealed, Hello), Broken> {
    stream.set_nodelay(true)?;
    let mut handshake = Handshake::answer(&shared.key)?;
    let greeting = frame::read(&mut stream, LONGEST_GREETING).await?;
    let said = handshake.read(&greeting)?;
    let answer = handshake.write(&shared.hello().to_bytes())?;
    frame::greet(&mut stream, &answer).await?;
    let hello = Hello::read(&said)?;
    if hello.instance == shared.instance {
        return Err(Refusal::Itself.into());
    }
    let mut sealed = handshake.finish()?;
    let first = frame::read(&mut stream, usize::from(u16::MAX)).await?;
    if !sealed.opener.open(&first)?.is_empty() {
        return Err(Refusal::Item.into());
    }
    Ok((stream, sealed, hello))
}

async fn serve(
    shared: &Arc<Shared>,
    address: SocketAddr,
    stream: TcpStream,
    sealed: Sealed,
    hello: Hello,
) -> Broken {
    let peer = shared.dialled(&hello);
    // An earlier connection of the same director is dead, whatever TCP thinks of it.
    let mut newest = peer.replace();
    let number = *newest.borrow_and_update();
    let _only = peer.session.lock().await;
    if *newest.borrow() != number {
        return Broken::Replaced;
    }
    let before = peer.recall();
    let taker = Taker::new(shared.instance, hello.instance, hello.ways, before);
    let session = Session {
        taker: Arc::new(Mutex::new(taker)),
        answer: Mutex::default(),
        ready: Notify::new(),
    };
    // Before anything that it tells is in the tables.
    lock(&shared.found).begins(&shared.maps.tellers, peer.instance);
    peer.begins(address);
    let (read, write) = stream.into_split();
    let ended = tokio::select! {
        ended = take(shared, &peer, &session, read, sealed.opener) => ended,
        ended = answer(&session, write, sealed.seal) => ended,
        _ = newest.changed() => Err(Broken::Replaced),
    };
    let broken = match ended {
        Err(broken) => broken,
        Ok(never) => match never {},
    };
    peer.ends(&broken);
    let (shared, kept) = (Arc::clone(shared), Arc::clone(&peer));
    let left = spawn_blocking(move || {
        // Who still takes a frame is done in a moment, and nobody takes another one.
        let mirror = lock(&session.taker).leave(shared.view());
        kept.remember(mirror, clock::now());
        lock(&shared.found).ends(&shared.maps.tellers, kept.instance);
    });
    match left.await {
        Ok(()) => broken,
        Err(error) => error.into(),
    }
}

/// Takes frame after frame.
async fn take(
    shared: &Arc<Shared>,
    peer: &Arc<In>,
    session: &Session,
    mut read: OwnedReadHalf,
    mut opener: Opener,
) -> Result<Infallible, Broken> {
    // The first one was empty.
    let mut number: u64 = 0;
    loop {
        let sealed = frame::read(&mut read, usize::from(u16::MAX)).await?;
        let frame = opener.open(&sealed)?;
        number += 1;
        if frame.is_empty() {
            lock(&session.answer).frame = number;
            continue;
        }
        let (all, from) = (Arc::clone(shared), Arc::clone(peer));
        let taker = Arc::clone(&session.taker);
        let work = spawn_blocking(move || {
            let mut taker = lock(&taker);
            let outcome = {
                let director = lock(&all.director);
                let discarded = &from.discarded;
                let outcome =
                    taker.take(&frame, all.view(), &*director, discarded, clock::now())?;
                lock(&all.found).hear(all.view(), from.instance, &outcome);
                outcome
            };
            from.has_told(&taker, outcome.joined);
            Ok::<_, Refusal>((outcome, taker.complete()))
        });
        let (outcome, scan) = work.await??;
        shared.tell_again(peer.instance, &outcome.again);
        for message in outcome.messages {
            shared.received(peer.instance, message);
        }
        {
            let mut answer = lock(&session.answer);
            answer.frame = number;
            answer.scan = scan;
            answer.missing.extend(outcome.missing);
        }
        session.ready.notify_one();
    }
}

/// Tells what was taken, and that this director lives.
async fn answer(
    session: &Session,
    mut write: OwnedWriteHalf,
    mut seal: Seal,
) -> Result<Infallible, Broken> {
    loop {
        let mut frame = Vec::new();
        let more = {
            let mut answer = lock(&session.answer);
            Item::Taken(Taken {
                frame: answer.frame.into(),
                scan: answer.scan.into(),
            })
            .write(&mut frame);
            let count = answer.missing.len().min(MISSING);
            for id in answer.missing.drain(..count) {
                Item::Missing(id).write(&mut frame);
            }
            !answer.missing.is_empty()
        };
        write.write_all(&seal.seal(&frame)?).await?;
        if !more {
            // Time is up, or there is something to say: both are reasons to say it.
            let _ = timeout(HEARTBEAT, session.ready.notified()).await;
        }
    }
}
