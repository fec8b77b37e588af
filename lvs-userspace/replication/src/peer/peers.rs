//! The sessions of a director with its peers, as the rest of the daemon sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lvs_api::role::Role;
use lvs_dataplane::director::Director;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::address::DEFAULT_PORT;
use super::context::{self, Context};
use super::dialed::DialedPeer;
use super::inherited::{self, Inherited, RETURN_TIMEOUT};
use super::key::Key;
use super::message::{Event, Instance, MAX_LENGTH, Message};
use super::refusal::Refusals;
use super::role_in_force::RoleInForce;
use super::{accept, dial};
use crate::events::{EventFeed, Interest, Subscription};

/// From one look at the data path's events to the next: what a crash may lose at most, beside entries that were
/// not worth sending.
const TURN: Duration = Duration::from_millis(20);
/// Events distributed in one turn.
const EVENTS: usize = 16_384;
/// Events of sessions that subscribers may be behind.
const BEHIND: usize = 256;

/// Time in which a peer that lives has dialed this director.
const DIALED_BY_NOW: Duration = Duration::from_millis(600);

/// Options of the sessions.
#[derive(Clone, Debug)]
pub struct Options {
    /// The others, as `HOST:PORT`.
    pub peers: Vec<String>,
    /// Address to listen at; none: all addresses, at [`DEFAULT_PORT`].
    pub listen: Option<SocketAddr>,
    /// The key of all directors of the group.
    pub key: Key,
}

/// The reason why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// There is no session.
    #[error("the peer is not connected")]
    NotConnected,
    /// It is slow, or there are too many messages.
    #[error("too many messages wait for the peer")]
    Busy,
    /// A message is at most 60,000 bytes of JSON.
    #[error("the message is too long")]
    TooLong,
    /// It is older than this director.
    #[error("the peer speaks an older version of the protocol, which lacks this")]
    Version,
}

/// The sessions of a director, until this is dropped.
pub struct Peers {
    pub(super) context: Arc<Context>,
    listening: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Peers {
    /// Listens and dials; the role and each change of it is sent to the peers.
    ///
    /// # Errors
    ///
    /// When the address to listen at is not available.
    pub async fn start(
        options: Options,
        director: Arc<Mutex<Director>>,
        feed: &Arc<EventFeed>,
        role: watch::Receiver<RoleInForce>,
    ) -> io::Result<Self> {
        let listener = match options.listen {
            Some(address) => TcpListener::bind(address).await?,
            None => everywhere().await?,
        };
        let listening = listener.local_addr()?;
        let maps = Arc::clone(director.lock().maps());
        let config = maps.config.read(0);
        let dialed = options.peers.into_iter().map(DialedPeer::new).map(Arc::new);
        let inherited = {
            let maps = Arc::clone(&maps);
            let collect = move || {
                let senders = inherited::remembered(&maps.sending_peers);
                Inherited::collect((&*maps).into(), senders)
            };
            tokio::task::spawn_blocking(collect).await?
        };
        let context = Arc::new(Context {
            instance: config.map_or(Instance(0), |config| context::instance(&config)),
            key: options.key,
            listening,
            maps,
            director,
            refusals: Refusals::default(),
            dialed: dialed.collect(),
            dialing: Mutex::default(),
            events: broadcast::Sender::new(BEHIND),
            lost_events: AtomicU64::new(0),
            role: role.clone(),
            roles: Mutex::new(BTreeMap::new()),
            inherited: Mutex::new(inherited),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept::listen(Arc::clone(&context), listener));
        // Scans find connections that only go on.
        let events = feed.subscribe(Interest::Changes);
        tasks.spawn(distribute_events(Arc::clone(&context), events));
        tasks.spawn(send_role(Arc::clone(&context), role));
        tasks.spawn(expire_inherited(Arc::clone(&context)));
        for peer in &context.dialed {
            tasks.spawn(dial::run(Arc::clone(&context), Arc::clone(peer)));
        }
        Ok(Self {
            context,
            listening,
            _tasks: tasks,
        })
    }

    /// Name of this director.
    pub fn instance(&self) -> Instance {
        self.context.instance
    }

    /// Address at which it listens.
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The directors that messages can be sent to, with their roles as they sent them.
    pub fn connected(&self) -> Vec<(Instance, Role)> {
        let reached = self.context.dialed.iter().filter_map(|out| out.connected());
        let roles = self.context.roles.lock();
        reached
            .filter_map(|instance| Some((instance, roles.get(&instance)?.role)))
            .collect()
    }

    /// The directors that are connected, in whichever direction, with their roles as they sent them.
    pub fn roles(&self) -> Vec<(Instance, RoleInForce)> {
        let mut heard: BTreeSet<_> = self.connected().into_iter().map(|(it, _)| it).collect();
        for peer in self.context.dialing.lock().values() {
            if peer.state.lock().received.connected {
                heard.insert(peer.instance);
            }
        }
        let roles = self.context.roles.lock();
        heard
            .into_iter()
            .filter_map(|instance| Some((instance, *roles.get(&instance)?)))
            .collect()
    }

    /// The end of the last bulk sync that came here.
    pub fn last_bulk_sync(&self) -> Option<Instant> {
        let dialing = self.context.dialing.lock();
        let ends = dialing
            .values()
            .filter_map(|peer| Some(peer.state.lock().bulk?.end));
        ends.max()
    }

    /// True if a director dials this one, and its connections come here.
    pub fn dials(&self, instance: Instance) -> bool {
        let dialing = self.context.dialing.lock();
        let peer = dialing.get(&instance);
        peer.is_some_and(|peer| peer.state.lock().received.connected)
    }

    /// True if this director dials another one that it is connected to.
    pub fn reaches(&self, instance: Instance) -> bool {
        self.dialed(instance).is_ok()
    }

    /// Connections of a director that are not here now, for want of their real server or of room.
    pub fn not_taken(&self, instance: Instance) -> u64 {
        let dialing = self.context.dialing.lock();
        let peer = dialing.get(&instance);
        peer.map_or(0, |peer| peer.state.lock().received.not_taken)
    }

    /// True if messages of this kind can be sent to a director: it is connected, and speaks the version that has
    /// them.
    pub fn understands(&self, instance: Instance, message: &Message) -> bool {
        let version = self.dialed(instance).ok().and_then(|peer| peer.version());
        version.is_some_and(|version| version >= message.since())
    }

    /// Returns when every peer is connected; or when each was dialed once and others had time to dial; or after
    /// `limit`.
    pub async fn listen_for_peers(&self, limit: Duration) {
        let dialed = &self.context.dialed;
        let tried = async {
            for peer in dialed {
                peer.tried().await;
            }
            let known =
                |peer: &Arc<DialedPeer>| peer.connected().is_some() || peer.state.lock().itself;
            if dialed.is_empty() || !dialed.iter().all(known) {
                tokio::time::sleep(DIALED_BY_NOW).await;
            }
        };
        // At the limit it is over, too.
        let _ = tokio::time::timeout(limit, tried).await;
    }

    /// Events of all sessions from now on. A receiver that is not read for long misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.context.events.subscribe()
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// When it cannot be queued. If the session ends afterwards the message may be lost.
    pub fn send(&self, to: Instance, message: &Message) -> Result<(), SendError> {
        queue(self.dialed(to)?, message)
    }

    /// Returns once a director has applied everything that is in the tables at this moment and worth sending. The
    /// caller limits the time.
    ///
    /// # Errors
    ///
    /// When there is no session, or it ends meanwhile.
    pub async fn wait_until_in_step(&self, to: Instance) -> Result<(), SendError> {
        let peer = self.dialed(to)?;
        let mut scans = peer.scans.subscribe();
        let (_, begun) = *scans.borrow_and_update();
        peer.scan_at_once();
        // A new session begins at 0 again.
        let over = |&(applied, latest): &(u32, u32)| applied > begun || latest < begun;
        let scans = scans.wait_for(over).await;
        match scans.map(|scans| scans.0) {
            Ok(applied) if applied > begun => Ok(()),
            _ => Err(SendError::NotConnected),
        }
    }

    fn dialed(&self, instance: Instance) -> Result<&Arc<DialedPeer>, SendError> {
        let mut dialed = self.context.dialed.iter();
        dialed
            .find(|peer| peer.connected() == Some(instance))
            .ok_or(SendError::NotConnected)
    }
}

fn queue(peer: &DialedPeer, message: &Message) -> Result<(), SendError> {
    if peer.version().ok_or(SendError::NotConnected)? < message.since() {
        return Err(SendError::Version);
    }
    let text = serde_json::to_vec(message).map_err(|_| SendError::TooLong)?;
    if text.len() > MAX_LENGTH {
        return Err(SendError::TooLong);
    }
    if peer.queue_message(text) {
        Ok(())
    } else {
        Err(SendError::Busy)
    }
}

/// Listens at every address, of both families where there is IPv6.
async fn everywhere() -> io::Result<TcpListener> {
    let address = |ip: IpAddr| SocketAddr::new(ip, DEFAULT_PORT);
    match TcpListener::bind(address(Ipv6Addr::UNSPECIFIED.into())).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(address(Ipv4Addr::UNSPECIFIED.into())).await,
    }
}

/// Distributes the data path's events to the peers.
async fn distribute_events(context: Arc<Context>, events: Subscription) {
    let mut timer = tokio::time::interval(TURN);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let mut entries = events.drain(EVENTS);
        context.lost_events.store(events.lost(), Ordering::Relaxed);
        // Of many events of one connection one is enough.
        entries.sort_unstable();
        entries.dedup();
        for peer in &context.dialed {
            peer.queue_events(&entries);
        }
    }
}

/// Waits for peers of the lvsd before this one, but not for ever.
async fn expire_inherited(context: Arc<Context>) {
    tokio::time::sleep(RETURN_TIMEOUT).await;
    let given_up = move || {
        let senders = &context.maps.sending_peers;
        for peer in context.inherited.lock().expire(context.tables(), senders) {
            tracing::warn!("the director {peer} does not return: its connections are this one's");
        }
    };
    // It ends with its thread, whatever becomes of this.
    let _ = tokio::task::spawn_blocking(given_up).await;
}

/// Sends each change of the role to the peers.
async fn send_role(context: Arc<Context>, mut role: watch::Receiver<RoleInForce>) {
    role.mark_unchanged();
    while role.changed().await.is_ok() {
        let message = Message::Role(role.borrow_and_update().role);
        for peer in context
            .dialed
            .iter()
            .filter(|peer| peer.connected().is_some())
        {
            if let Err(error) = queue(peer, &message) {
                tracing::warn!("peer {}: the role is not sent: {error}", peer.address);
            }
        }
    }
}
