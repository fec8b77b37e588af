//! Accepts sessions of peers that dial, and applies what they send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lvs_common::connection::EntryId;
use lvs_dataplane::clock;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::context::Context;
use super::dialing::DialingPeer;
use super::frame::{self, SessionError};
use super::heartbeat::{HEARTBEAT, SILENCE};
use super::hello::{Hello, Versions};
use super::message::MAX_LENGTH;
use super::noise::{Ciphers, Decryptor, Encryptor, Handshake, LONGEST_HANDSHAKE};
use super::receiver::Receiver;
use super::record::{Acknowledgement, FrameRecord};
use super::refusal::Refusal;

/// TCP connections at most whose other side did not prove yet that it has the key.
const MAX_UNAUTHENTICATED: usize = 32;
/// Entries that one answer asks for at most.
const MISSING: usize = MAX_LENGTH / 8;

/// State that both directions of a session share.
struct AcceptedSession {
    receiver: Arc<Mutex<Receiver>>,
    answer: Mutex<Answer>,
    /// There is something to answer.
    ready: Notify,
}

/// The next answer to the peer.
#[derive(Default)]
struct Answer {
    frame: u64,
    scan: u32,
    missing: Vec<EntryId>,
}

/// Accepts TCP connections, for ever.
pub(super) async fn listen(context: Arc<Context>, listener: TcpListener) {
    let unauthenticated = Arc::new(Semaphore::new(MAX_UNAUTHENTICATED));
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
        let Ok(permit) = Arc::clone(&unauthenticated).try_acquire_owned() else {
            context.refusals.count(address.ip(), Refusal::Crowd);
            continue;
        };
        let context = Arc::clone(&context);
        sessions.spawn(async move {
            let authenticated = timeout(SILENCE, authenticate(&context, stream)).await;
            drop(permit);
            let error = match authenticated.unwrap_or(Err(Refusal::Silence.into())) {
                Ok((stream, ciphers, hello)) => {
                    serve(&context, address, stream, ciphers, hello).await
                }
                Err(error) => error,
            };
            if let SessionError::Refused(why) = error {
                context.refusals.count(address.ip(), why);
            }
            debug!("the connection of {address} ended: {error}");
        });
    }
}

/// Shakes hands. A side that only repeats a handshake cannot go on: the first frame is encrypted with the keys
/// of this session.
async fn authenticate(
    context: &Context,
    mut stream: TcpStream,
) -> Result<(TcpStream, Ciphers, Hello), SessionError> {
    stream.set_nodelay(true)?;
    let mut handshake = Handshake::answer(&context.key)?;
    let greeting = frame::read(&mut stream, LONGEST_HANDSHAKE).await?;
    let introduction = handshake.read(&greeting)?;
    let answer = handshake.write(&context.hello().to_bytes())?;
    frame::write_handshake(&mut stream, &answer).await?;
    let (hello, _) = Hello::read(&introduction, Versions::OWN)?;
    if hello.instance == context.instance {
        return Err(Refusal::Itself.into());
    }
    let mut ciphers = handshake.finish()?;
    let first = frame::read(&mut stream, usize::from(u16::MAX)).await?;
    if !ciphers.decryptor.decrypt(&first)?.is_empty() {
        return Err(Refusal::Malformed.into());
    }
    Ok((stream, ciphers, hello))
}

async fn serve(
    context: &Arc<Context>,
    address: SocketAddr,
    stream: TcpStream,
    ciphers: Ciphers,
    hello: Hello,
) -> SessionError {
    let peer = context.register(&hello, address);
    // An earlier connection of the same director is dead, whatever TCP thinks of it.
    let mut newest = peer.replace();
    let number = *newest.borrow_and_update();
    let _only = peer.session.lock().await;
    if *newest.borrow() != number {
        return SessionError::Replaced;
    }
    let before = peer.remove_index();
    let receiver = Receiver::new(context.instance, hello.instance, hello.sizes, before);
    let session = AcceptedSession {
        receiver: Arc::new(Mutex::new(receiver)),
        answer: Mutex::default(),
        ready: Notify::new(),
    };
    // Before any of its replicas is in the tables.
    context
        .inherited
        .lock()
        .session_begins(&context.maps.sending_peers, peer.instance);
    peer.session_begins(address);
    let (read, write) = stream.into_split();
    let ended = tokio::select! {
        ended = receive_frames(context, &peer, &session, read, ciphers.decryptor) => ended,
        ended = send_answers(&session, write, ciphers.encryptor) => ended,
        _ = newest.changed() => Err(SessionError::Replaced),
    };
    let error = match ended {
        Err(error) => error,
        Ok(never) => match never {},
    };
    context.dialing_ended(&peer, &error);
    let (context, kept) = (Arc::clone(context), Arc::clone(&peer));
    let left = spawn_blocking(move || {
        // A frame that is still being applied is so in a moment, and no other one follows.
        let index = session.receiver.lock().close(context.tables());
        kept.keep_index(index, clock::now());
        context
            .inherited
            .lock()
            .session_ended(&context.maps.sending_peers, kept.instance);
    });
    match left.await {
        Ok(()) => error,
        Err(error) => error.into(),
    }
}

/// Applies frame after frame.
async fn receive_frames(
    context: &Arc<Context>,
    peer: &Arc<DialingPeer>,
    session: &AcceptedSession,
    mut read: OwnedReadHalf,
    mut decryptor: Decryptor,
) -> Result<Infallible, SessionError> {
    // The first one was empty.
    let mut number: u64 = 0;
    loop {
        let encrypted = frame::read(&mut read, usize::from(u16::MAX)).await?;
        let frame = decryptor.decrypt(&encrypted)?;
        number += 1;
        if frame.is_empty() {
            session.answer.lock().frame = number;
            continue;
        }
        let (all, from) = (Arc::clone(context), Arc::clone(peer));
        let receiver = Arc::clone(&session.receiver);
        let work = spawn_blocking(move || {
            let mut receiver = receiver.lock();
            let outcome = {
                let director = all.director.lock();
                let discarded = &from.discarded;
                let outcome = receiver.apply_frame(
                    &frame,
                    all.tables(),
                    &*director,
                    discarded,
                    clock::now(),
                )?;
                all.inherited
                    .lock()
                    .note(all.tables(), from.instance, &outcome);
                outcome
            };
            from.frame_applied(&receiver, outcome.joined);
            Ok::<_, Refusal>((outcome, receiver.complete()))
        });
        let (outcome, scan) = work.await??;
        context.resend(peer.instance, &outcome.resend);
        for message in outcome.messages {
            context.received(peer.instance, message);
        }
        {
            let mut answer = session.answer.lock();
            answer.frame = number;
            answer.scan = scan;
            answer.missing.extend(outcome.missing);
        }
        session.ready.notify_one();
    }
}

/// Acknowledges what was applied, and shows that this director lives.
async fn send_answers(
    session: &AcceptedSession,
    mut write: OwnedWriteHalf,
    mut encryptor: Encryptor,
) -> Result<Infallible, SessionError> {
    loop {
        let mut frame = Vec::new();
        let more = {
            let mut answer = session.answer.lock();
            FrameRecord::Acknowledged(Acknowledgement {
                frame: answer.frame.into(),
                scan: answer.scan.into(),
            })
            .write(&mut frame);
            let count = answer.missing.len().min(MISSING);
            for id in answer.missing.drain(..count) {
                FrameRecord::Missing(id).write(&mut frame);
            }
            !answer.missing.is_empty()
        };
        write.write_all(&encryptor.encrypt(&frame)?).await?;
        if !more {
            // Time is up, or there is something to answer: both are reasons to send an answer.
            let _ = timeout(HEARTBEAT, session.ready.notified()).await;
        }
    }
}
