//! The role goes to the peer on purpose: the peer has every connection, holds the addresses and has
//! announced them, and only then does this director let go. Whatever fails on the way leaves it master.
//!
//! Packets that still come here meanwhile and afterwards are forwarded as before, and the connections that they
//! change are sent to the peer.

use std::sync::Arc;
use std::time::Duration;

use lvs_api::role::Role;
use lvs_replication::peer::{Event, Instance, Message, Peers, SendError, Takeover};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::roles::{RoleError, Roles};

/// Time that a peer has at least to answer: it may be configuring the addresses just now.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// From one attempt to answer to the next, while there is no session.
const RETRY: Duration = Duration::from_millis(20);

/// The reason why this director still is master.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HandoverError {
    #[error("this director is not master")]
    NotMaster,
    #[error("there is no link to another director (lvsd --peer)")]
    NoPeers,
    #[error("no director that is backup is connected")]
    NoBackup,
    #[error("the peer does not dial this director, so it cannot answer (lvsadm sync status)")]
    OneSided,
    #[error("{0} (--force hands over all the same)")]
    Differs(String),
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

/// Options of a handover.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// Longest wait until the peer has every connection.
    pub patience: Duration,
    /// Even to a peer that does not have them by then, or that would lose some.
    pub force: bool,
}

/// The judgement on what directors should have alike, so that the one can go on with the connections of the other.
pub trait Consent: Sync {
    /// A summary of this director, in a form that only the other's [`Consent`] knows.
    fn summary(&self) -> impl Future<Output = Value> + Send;

    /// The reason why connections would be lost between this director and a peer, if any would; `theirs` is the peer's
    /// summary, if it has just sent one.
    fn objection(
        &self,
        peer: Instance,
        theirs: Option<&Value>,
    ) -> impl Future<Output = Option<String>> + Send;
}

/// Hands the role over to a peer that is backup; returns when this director is.
pub async fn hand_over(
    roles: &Roles,
    peers: Option<&Arc<Peers>>,
    consent: &impl Consent,
    Handover { patience, force }: Handover,
) -> Result<(), HandoverError> {
    if roles.current() != Role::Master {
        return Err(HandoverError::NotMaster);
    }
    let peers = peers.ok_or(HandoverError::NoPeers)?;
    let mut connected = peers.connected().into_iter();
    let (peer, _) = connected
        .find(|(_, role)| *role == Role::Backup)
        .ok_or(HandoverError::NoBackup)?;
    if !peers.dials(peer) {
        return Err(HandoverError::OneSided);
    }
    let deadline = Instant::now() + patience;
    let behind = match timeout_at(deadline, peers.wait_until_in_step(peer)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(HandoverError::Behind(error)),
        Err(_) => Some(HandoverError::NotInStep(patience)),
    };
    if let Some(error) = behind.filter(|_| !force) {
        return Err(error);
    }
    if !force && let Some(why) = consent.objection(peer, None).await {
        return Err(HandoverError::Differs(why));
    }
    let id = fastrand::u64(..);
    // Before the request: the answer is not missed.
    let events = peers.subscribe();
    info!("asking {peer} to become master");
    let ask = Message::Takeover(Takeover::Ask {
        id,
        // The peer compares: it may have changed a moment ago.
        summary: if force {
            None
        } else {
            Some(consent.summary().await)
        },
    });
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
    consent: impl Consent,
    mut events: broadcast::Receiver<Event>,
) {
    loop {
        match events.recv().await {
            Ok(Event::Received(from, Message::Takeover(Takeover::Ask { id, summary }))) => {
                let objection = match &summary {
                    Some(summary) => consent.objection(from, Some(summary)).await,
                    None => None,
                };
                accept(&roles, &peers, from, id, objection).await;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                warn!("{missed} messages of peers were lost");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn accept(roles: &Roles, peers: &Peers, from: Instance, id: u64, objection: Option<String>) {
    info!("{from} hands its role over");
    let taken = match (roles.current(), objection) {
        (Role::Master, _) => Err("it is master already".to_owned()),
        (Role::Backup, Some(why)) => Err(format!("{why} (--force hands over all the same)")),
        // The other one would not know that this one is master.
        (Role::Backup, None) if !peers.reaches(from) => {
            Err("its sessions with this director are one-sided".to_owned())
        }
        (Role::Backup, None) => roles
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
