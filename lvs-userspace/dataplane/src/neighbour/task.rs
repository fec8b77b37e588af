//! The task between the sockets and the tracker.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rtnetlink::packet_core::NLM_F_CREATE;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::decode;
use super::events::{Burst, Events};
use super::lookup::{BATCH, look_up};
use super::next_hop::Change;
use super::tables::{Interfaces, NeighbourKey};
use super::tracker::Tracker;
use super::update::Update;
use crate::followed::Followed;
use crate::netlink::{Error, Message, Requests};

/// Time that several events have to arrive before anything is concluded from them.
const DEBOUNCE: Duration = Duration::from_millis(3);
/// Each second, this part of all routes is looked up again.
const REVIEW_PARTS: usize = 60;
/// Between two reviews, and before a request that failed is sent again.
const SECOND: Duration = Duration::from_secs(1);

/// The sockets, the tracker, and the channels to the user.
pub(super) struct Task {
    pub(super) events: Events,
    pub(super) requests: Requests,
    pub(super) followed: watch::Receiver<Followed>,
    /// Nobody wants to know any more.
    pub(super) ended: oneshot::Receiver<()>,
    pub(super) reports: mpsc::Sender<Vec<Change>>,
    /// The interfaces that take frames from an XDP program.
    pub(super) senders: watch::Receiver<Arc<BTreeSet<u32>>>,
    pub(super) interfaces: watch::Sender<Arc<Interfaces>>,
    pub(super) tracker: Tracker,
}

impl Task {
    /// Runs until nobody follows anything or listens any more, or the kernel closes a socket.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let senders = self.senders.borrow_and_update().clone();
        self.tracker.set_senders(senders);
        self.resynchronize().await?;
        let mut review = Instant::now() + SECOND;
        let mut report_at: Option<Instant> = None;
        loop {
            let refresh = self.tracker.next_refresh().map(Instant::from_std);
            let wake = [report_at, refresh]
                .into_iter()
                .flatten()
                .fold(review, Instant::min);
            tokio::select! {
                _ = &mut self.ended => return Ok(()),
                followed = self.followed.changed() => {
                    if followed.is_err() {
                        return Ok(());
                    }
                    self.tracker.follow(&self.followed.borrow_and_update());
                }
                Ok(()) = self.senders.changed() => {
                    let senders = self.senders.borrow_and_update().clone();
                    self.tracker.set_senders(senders);
                }
                burst = self.events.next() => match burst? {
                    Burst::Messages(messages) => self.apply(&messages),
                    Burst::Overrun => {
                        warn!("netlink events were lost, reading the kernel's tables again");
                        self.resynchronize().await?;
                    }
                },
                () = sleep_until(wake) => {}
            }
            if let Some(interfaces) = self.tracker.changed_interfaces() {
                self.interfaces.send_replace(interfaces);
            }
            let now = Instant::now();
            if now >= review {
                self.tracker.review(REVIEW_PARTS);
                review = now + SECOND;
            }
            self.refresh(now).await?;
            if report_at.is_some_and(|at| now >= at) {
                // What is looked up now is reported the next time: until then a neighbour that has
                // to be solicited has mostly answered.
                if !self.report() {
                    return Ok(());
                }
                self.look_up().await?;
                report_at = self.tracker.has_lookups().then_some(now);
            }
            if report_at.is_none() && !self.tracker.is_idle() {
                report_at = Some(now + DEBOUNCE);
            }
        }
    }

    fn apply(&mut self, messages: &[Message]) {
        let now = Instant::now().into_std();
        for Message(message) in messages {
            let update = match message {
                Some(message) => decode::update(message),
                None => Some(Update::AllRoutes),
            };
            if let Some(update) = update {
                self.tracker.apply(update, now);
            }
        }
    }

    /// Starts over from dumps of the kernel's tables.
    async fn resynchronize(&mut self) -> Result<(), Error> {
        loop {
            match self.dump().await {
                Ok(updates) => {
                    self.tracker.replace(updates, Instant::now().into_std());
                    return Ok(());
                }
                Err(Error::Closed) => return Err(Error::Closed),
                // Something changed during the dump; this ends.
                Err(Error::Interrupted) => debug!("a netlink dump was interrupted, asking again"),
                Err(error) => {
                    warn!("{error}, asking again");
                    sleep(SECOND).await;
                }
            }
        }
    }

    async fn dump(&mut self) -> Result<Vec<Update>, Error> {
        let mut updates = Vec::new();
        for table in [
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        ] {
            let messages = self.requests.dump(table).await?;
            updates.extend(messages.iter().filter_map(decode::update));
        }
        Ok(updates)
    }

    async fn look_up(&mut self) -> Result<(), Error> {
        let addresses = self.tracker.pop_lookups(BATCH);
        if addresses.is_empty() {
            return Ok(());
        }
        let Some(routes) = tolerate(look_up(&mut self.requests, &addresses).await)? else {
            self.tracker.look_up(addresses);
            return Ok(());
        };
        let now = Instant::now().into_std();
        for (address, route) in addresses.into_iter().zip(routes) {
            self.tracker.set_route(address, route, now);
        }
        Ok(())
    }

    /// Has the kernel solicit or confirm the neighbours that are due.
    async fn refresh(&mut self, now: Instant) -> Result<(), Error> {
        let keys = self.tracker.pop_refreshes(now.into_std(), BATCH);
        if keys.is_empty() {
            return Ok(());
        }
        let requests = keys.iter().map(|&key| refresh(key)).collect();
        let answers = self.requests.send_all(requests, NLM_F_CREATE).await;
        // What got no answer is due again soon.
        for (key, answer) in keys.into_iter().zip(tolerate(answers)?.unwrap_or_default()) {
            if let Err(error) = answer {
                let why = refusal(&error);
                self.tracker.set_refused(key, why, now.into_std());
            }
        }
        Ok(())
    }

    /// Reports the changes; false if nobody listens any more. While the listener is busy, changes wait
    /// and may cancel out.
    fn report(&mut self) -> bool {
        match self.reports.try_reserve() {
            Ok(permit) => {
                let changes = self.tracker.drain_changes();
                if !changes.is_empty() {
                    permit.send(changes);
                }
                true
            }
            Err(TrySendError::Full(())) => true,
            Err(TrySendError::Closed(())) => false,
        }
    }
}

/// Logs an error after which another request may succeed, and returns nothing then.
fn tolerate<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(answers) => Ok(Some(answers)),
        Err(Error::Closed) => Err(Error::Closed),
        Err(error) => {
            warn!("{error}");
            Ok(None)
        }
    }
}

/// "This neighbour is in use" (`NTF_USE`), which also makes the kernel find one it does not know. Not
/// rtnetlink's own request: it would replace the entry, or fail where there is one.
pub(super) fn refresh(key: NeighbourKey) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match key.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = key.interface;
    message.header.flags = NeighbourFlags::Use;
    let destination = NeighbourAttribute::Destination(key.address.into());
    message.attributes.push(destination);
    RouteNetlinkMessage::NewNeighbour(message)
}

fn refusal(error: &std::io::Error) -> String {
    if error.raw_os_error() == Some(libc::ENOBUFS) {
        return "its neighbour table is full (see net.ipv4.neigh.default.gc_thresh3 and \
                net.ipv6.neigh.default.gc_thresh3)"
            .into();
    }
    error.to_string()
}
