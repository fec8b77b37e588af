//! Links between directors of this kind: each tells the others of its connections, and of what else they
//! agree on.
//!
//! Each director dials each of its peers and tells over that connection; what it hears comes over the
//! connections that the others made. So there is no question which connection counts, and a director that
//! nobody dials is seen to be one.
//!
//! What is told is not what happened but what is: [`tell`] compares the tables with what the peer knows.
//! A peer that joins knows nothing, so the first scan of the tables is the transfer of everything, while
//! events already tell what is new. [`take`] is the other end.

mod address;
mod check;
mod found;
mod frame;
mod hello;
mod hold;
mod incoming;
mod item;
mod key;
mod link;
mod message;
mod mirror;
mod outgoing;
mod refusal;
mod seal;
mod shared;
mod status;
mod take;
mod tell;
#[cfg(test)]
mod tests;
mod view;
mod window;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use self::found::{Found, RETURN};
use self::link::{Out, lock};
use self::message::MAX_LENGTH;
use self::refusal::Refusals;
use self::shared::Shared;
use crate::sync::{Feed, Listener, Wanted};
use lvs_api::role::Role;
use lvs_dataplane::director::Director;

pub use address::{listen as listen_address, peer as peer_address};
pub use key::{Key, KeyError};
pub use message::{Event, Instance, Message, Takeover};
pub use refusal::Refusal;

/// Where directors listen unless told otherwise.
pub const DEFAULT_PORT: u16 = 8849;

/// How often the data path's events are looked for: what a crash may lose at most, beside what was not
/// worth telling.
const TURN: Duration = Duration::from_millis(20);
/// Events taken in one turn.
const EVENTS: usize = 16_384;
/// Events that subscribers may be behind.
const BEHIND: usize = 256;

/// Who to link with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The others, as `HOST:PORT`.
    pub peers: Vec<String>,
    /// Where to listen; none: everywhere, at [`DEFAULT_PORT`].
    pub listen: Option<SocketAddr>,
    /// What all of them share.
    pub key: Key,
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// It is not there.
    #[error("the peer is not connected")]
    NotConnected,
    /// It is slow, or too much is said.
    #[error("too many messages wait for the peer")]
    Busy,
    /// A message is at most 60,000 bytes of JSON.
    #[error("the message is too long")]
    TooLong,
}

/// The links of a director, until this is dropped.
pub struct Peers {
    shared: Arc<Shared>,
    listening: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Peers {
    /// Listens and dials; the others are told the role, and each change of it.
    ///
    /// # Errors
    ///
    /// When the address to listen at cannot be had.
    pub async fn start(
        options: Options,
        director: Arc<Mutex<Director>>,
        feed: &Arc<Feed>,
        role: watch::Receiver<Role>,
    ) -> io::Result<Self> {
        let listener = match options.listen {
            Some(address) => TcpListener::bind(address).await?,
            None => everywhere().await?,
        };
        let listening = listener.local_addr()?;
        let maps = Arc::clone(lock(&director).maps());
        let config = maps.config.read(0);
        let outs = options.peers.into_iter().map(Out::new).map(Arc::new);
        let found = {
            let maps = Arc::clone(&maps);
            let look = move || Found::look((&*maps).into(), found::remembered(&maps.tellers));
            tokio::task::spawn_blocking(look).await?
        };
        let shared = Arc::new(Shared {
            instance: config.map_or(Instance(0), |config| shared::instance(&config)),
            key: options.key,
            maps,
            director,
            refusals: Refusals::default(),
            outs: outs.collect(),
            ins: Mutex::default(),
            events: broadcast::Sender::new(BEHIND),
            lost_events: AtomicU64::new(0),
            role: role.clone(),
            roles: Mutex::new(BTreeMap::new()),
            found: Mutex::new(found),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(incoming::listen(Arc::clone(&shared), listener));
        // Scans find whatever goes on.
        tasks.spawn(pump(Arc::clone(&shared), feed.listen(Wanted::News)));
        tasks.spawn(tell_role(Arc::clone(&shared), role));
        tasks.spawn(give_up(Arc::clone(&shared)));
        for out in &shared.outs {
            tasks.spawn(outgoing::keep(Arc::clone(&shared), Arc::clone(out)));
        }
        Ok(Self {
            shared,
            listening,
            _tasks: tasks,
        })
    }

    /// This director.
    pub fn instance(&self) -> Instance {
        self.shared.instance
    }

    /// Where it listens.
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The directors that can be told something at the moment, with their roles as they said.
    pub fn connected(&self) -> Vec<(Instance, Role)> {
        let reached = self.shared.outs.iter().filter_map(|out| out.connected());
        let roles = lock(&self.shared.roles);
        reached
            .filter_map(|instance| Some((instance, *roles.get(&instance)?)))
            .collect()
    }

    /// What happens on the links from now on. Who does not listen for long misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Tells a director something.
    ///
    /// # Errors
    ///
    /// When it cannot be told. If its connection breaks afterwards the message may be lost.
    pub fn send(&self, to: Instance, message: &Message) -> Result<(), SendError> {
        say(self.reached(to)?, message)
    }

    /// Returns once a director has everything that is in the tables at this moment and worth telling. How
    /// long to wait is the caller's to decide.
    ///
    /// # Errors
    ///
    /// When there is no connection to it, or it breaks meanwhile.
    pub async fn flush(&self, to: Instance) -> Result<(), SendError> {
        let out = self.reached(to)?;
        let mut scans = out.scans.subscribe();
        let (_, begun) = *scans.borrow_and_update();
        out.scan_at_once();
        // A new session begins at 0 again.
        let over = |&(followed, latest): &(u32, u32)| followed > begun || latest < begun;
        let scans = scans.wait_for(over).await;
        match scans.map(|scans| scans.0) {
            Ok(followed) if followed > begun => Ok(()),
            _ => Err(SendError::NotConnected),
        }
    }

    fn reached(&self, instance: Instance) -> Result<&Arc<Out>, SendError> {
        let mut outs = self.shared.outs.iter();
        outs.find(|out| out.connected() == Some(instance))
            .ok_or(SendError::NotConnected)
    }
}

fn say(out: &Out, message: &Message) -> Result<(), SendError> {
    let text = serde_json::to_vec(message).map_err(|_| SendError::TooLong)?;
    if text.len() > MAX_LENGTH {
        return Err(SendError::TooLong);
    }
    if out.say(text) {
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

/// Hands the data path's events to whoever tells of them.
async fn pump(shared: Arc<Shared>, events: Listener) {
    let mut timer = tokio::time::interval(TURN);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let mut found = events.take(EVENTS);
        shared.lost_events.store(events.lost(), Ordering::Relaxed);
        // Of many events of one connection the last one tells it all.
        found.sort_unstable();
        found.dedup();
        for out in &shared.outs {
            out.look(&found);
        }
    }
}

/// Waits for peers that told the lvsd before this one, but not for ever.
async fn give_up(shared: Arc<Shared>) {
    tokio::time::sleep(RETURN).await;
    let given_up = move || {
        let tellers = &shared.maps.tellers;
        for peer in lock(&shared.found).give_up(shared.view(), tellers) {
            tracing::warn!("the director {peer} does not return: its connections are this one's");
        }
    };
    // It ends with its thread, whatever becomes of this.
    let _ = tokio::task::spawn_blocking(given_up).await;
}

/// Tells the others whenever the role changes.
async fn tell_role(shared: Arc<Shared>, mut role: watch::Receiver<Role>) {
    role.mark_unchanged();
    while role.changed().await.is_ok() {
        let message = Message::Role(*role.borrow_and_update());
        for out in shared.outs.iter().filter(|out| out.connected().is_some()) {
            if let Err(error) = say(out, &message) {
                tracing::warn!("peer {}: is not told the role: {error}", out.address);
            }
        }
    }
}
