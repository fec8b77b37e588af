//! The role goes to the peer on purpose: the peer has every connection, holds the addresses and has
//! announced them, and only then does this director let go. Whatever fails on the way leaves it master.
//!
//! Packets that still come here meanwhile and afterwards are forwarded as before, and the connections that they
//! change are sent to the peer.

use std::sync::Arc;
use std::time::Duration;

use lvs_api::role::Role;
use lvs_replication::peer::{Event, Instance, Message, Peers, SendError, Takeover};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::roles::{RoleError, Roles};

/// Time that a peer has at least to answer: it may be configuring the addresses just now.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// From one attempt to answer to the next, while there is no session.
const RETRY: Duration = Duration::from_millis(20);

/// Why this director still is master.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HandoverError {
    #[error("this director is not master")]
    NotMaster,
    #[error("there is no link to another director (lvsd --peer)")]
    NoPeers,
    #[error("no director that is backup is connected")]
    NoBackup,
    #[error("the peer does not have every connection yet: {0}")]
    Behind(#[source] SendError),
    #[error("the peer does not have every connection yet after {} s", .0.as_secs_f32())]
    NotInStep(Duration),
    #[error("the peer cannot be asked: {0}")]
    Ask(#[source] SendError),
    #[error("the peer refuses: {0}")]
    Refused(String),
    #[error("the peer does not answer: see whether it took the role (lvsadm sync status)")]
    Silent,
    #[error("the peer is master, but {0}")]
    LetGo(#[source] RoleError),
}

/// Hands the role over to a peer that is backup; returns when this director is.
pub async fn hand_over(
    roles: &Roles,
    peers: Option<&Arc<Peers>>,
    patience: Duration,
) -> Result<(), HandoverError> {
    if roles.current() != Role::Master {
        return Err(HandoverError::NotMaster);
    }
    let peers = peers.ok_or(HandoverError::NoPeers)?;
    let mut connected = peers.connected().into_iter();
    let (peer, _) = connected
        .find(|(_, role)| *role == Role::Backup)
        .ok_or(HandoverError::NoBackup)?;
    let deadline = Instant::now() + patience;
    match timeout_at(deadline, peers.wait_until_in_step(peer)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(HandoverError::Behind(error)),
        Err(_) => return Err(HandoverError::NotInStep(patience)),
    }
    let id = fastrand::u64(..);
    // Before the request: the answer is not missed.
    let events = peers.subscribe();
    info!("asking {peer} to become master");
    let ask = Message::Takeover(Takeover::Ask { id });
    peers.send(peer, &ask).map_err(HandoverError::Ask)?;
    let deadline = deadline.max(Instant::now() + LAST_ANSWER);
    match timeout_at(deadline, receive_answer(events, peer, id)).await {
        Ok(answered) => answered?,
        Err(_) => return Err(HandoverError::Silent),
    }
    let let_go = roles.change(Role::Backup).await;
    let_go.map_err(HandoverError::LetGo)
}

/// Receives the answer of the peer. A session that ends meanwhile is followed by another if the peer lives.
async fn receive_answer(
    mut events: broadcast::Receiver<Event>,
    peer: Instance,
    id: u64,
) -> Result<(), HandoverError> {
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Err(HandoverError::Silent),
        };
        match event {
            Event::Received(from, Message::Takeover(step)) if from == peer => match step {
                Takeover::Done { id: of } if of == id => return Ok(()),
                Takeover::Refused { id: of, why } if of == id => {
                    return Err(HandoverError::Refused(why));
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Takes the role when a peer hands it over.
pub async fn take_over(
    roles: Arc<Roles>,
    peers: Arc<Peers>,
    mut events: broadcast::Receiver<Event>,
) {
    loop {
        match events.recv().await {
            Ok(Event::Received(from, Message::Takeover(Takeover::Ask { id }))) => {
                accept(&roles, &peers, from, id).await;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                warn!("{missed} messages of peers were lost");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn accept(roles: &Roles, peers: &Peers, from: Instance, id: u64) {
    info!("{from} hands its role over");
    let taken = match roles.current() {
        Role::Master => Err("it is master already".to_owned()),
        Role::Backup => roles
            .change(Role::Master)
            .await
            .map_err(|error| error.to_string()),
    };
    let reply = match &taken {
        Ok(()) => Takeover::Done { id },
        Err(why) => Takeover::Refused {
            id,
            why: why.clone(),
        },
    };
    if let Err(why) = &taken {
        error!("this director does not take the role over: {why}");
    }
    let sent = reply_to(peers, from, &Message::Takeover(reply)).await;
    // The other director stays master unless it receives this.
    if let (Ok(()), Err(error)) = (taken, sent) {
        error!("this director gives the role back, for {from} cannot be told: {error}");
        if let Err(error) = roles.change(Role::Backup).await {
            error!("{error}");
        }
    }
}

/// Sends a reply to a peer, whose session may have been replaced while the role changed.
async fn reply_to(peers: &Peers, to: Instance, message: &Message) -> Result<(), SendError> {
    let deadline = Instant::now() + LAST_ANSWER;
    loop {
        match peers.send(to, message) {
            Err(SendError::NotConnected) if Instant::now() < deadline => sleep(RETRY).await,
            sent => return sent,
        }
    }
}
