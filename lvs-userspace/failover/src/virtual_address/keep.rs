//! What a master does about its addresses as long as it is one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info};

use super::frame::Claim;
use super::hold::{HoldError, hold, release};
use super::place::Place;
use super::port::{Port, is_asked};
use super::rival::{News, Rivals};
use super::{Announcing, spell};
use lvs_api::role::AddressStatus;
use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::neighbour::netlink::Requests;
use lvs_dataplane::own_addresses;

/// From one look at the addresses to the next.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at which others are asked, after the addresses were taken: by then another director has let go.
const FIRST_PROBES: RangeInclusive<u64> = 1..=3;
/// And so often afterwards, in looks.
const PROBES: u64 = 30;
/// Claims that wait to be thought about.
const CLAIMS: usize = 64;

/// Holds the addresses until it is told to [release](Self::release) them, or dropped: then they stay.
#[derive(Debug)]
pub(crate) struct Keeper {
    addresses: Arc<[VirtualAddress]>,
    status: Arc<Mutex<Vec<AddressStatus>>>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Takes the addresses and announces them once; the rest of it goes on in a task.
    ///
    /// With `all` it takes all or, with an error, none. Otherwise those that cannot be had are tried again
    /// until they can.
    pub(crate) async fn take(
        addresses: Arc<[VirtualAddress]>,
        announcing: Announcing,
        all: bool,
    ) -> Result<Self, HoldError> {
        let status = Arc::new(Mutex::new(Vec::new()));
        let (sender, claims) = mpsc::channel(CLAIMS);
        let mut watch = Watch {
            places: addresses.iter().cloned().map(Place::new).collect(),
            requests: Requests::open()?,
            ports: HashMap::new(),
            sender,
            rivals: Rivals::default(),
            rounds: Rounds::new(announcing, Instant::now()),
            status: Arc::clone(&status),
        };
        if let (Err(error), true) = (watch.hold().await, all) {
            if let Err(error) = release(&addresses).await {
                error!("{error}");
            }
            return Err(error);
        }
        watch.announce(Instant::now());
        watch.publish();
        let task = tokio::spawn(watch.run(claims));
        Ok(Self {
            addresses,
            status,
            task,
        })
    }

    /// What is known of each address.
    pub(crate) fn status(&self) -> Vec<AddressStatus> {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets go of all addresses.
    pub(crate) async fn release(mut self) -> Result<(), HoldError> {
        self.task.abort();
        // It might be adding one just now. That it was ended is what is waited for.
        let _ = (&mut self.task).await;
        release(&self.addresses).await
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When to announce next.
struct Rounds {
    announcing: Announcing,
    left: u32,
    next: Option<Instant>,
}

impl Rounds {
    fn new(announcing: Announcing, now: Instant) -> Self {
        Self {
            announcing,
            left: announcing.count,
            next: (announcing.count > 0).then_some(now),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// An announcement was made.
    fn step(&mut self, now: Instant) {
        let Announcing {
            count,
            interval,
            repeat,
        } = self.announcing;
        self.left = self.left.saturating_sub(1);
        self.next = if self.left > 0 {
            Some(now + interval)
        } else if repeat.is_zero() || count == 0 {
            None
        } else {
            self.left = count;
            Some(now + repeat)
        };
    }
}

struct Watch {
    places: Vec<Place>,
    requests: Requests,
    /// By interface, and whether it is for IPv4.
    ports: HashMap<(String, bool), Port>,
    sender: mpsc::Sender<Claim>,
    rivals: Rivals,
    rounds: Rounds,
    status: Arc<Mutex<Vec<AddressStatus>>>,
}

impl Watch {
    async fn run(mut self, mut claims: mpsc::Receiver<Claim>) {
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks: u64 = 0;
        loop {
            let far = Instant::now() + Duration::from_hours(1);
            let next = self.rounds.next.unwrap_or(far);
            tokio::select! {
                _ = look.tick() => {
                    looks += 1;
                    self.look(looks).await;
                }
                () = tokio::time::sleep_until(next.into()) => self.announce(Instant::now()),
                Some(claim) = claims.recv() => self.hear(claim, Instant::now()),
            }
            self.publish();
        }
    }

    fn publish(&self) {
        let status = self.places.iter().map(|place| place.status(&self.rivals));
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status.collect();
    }

    /// Adds what is missing. The first reason why something is still missing is returned.
    async fn hold(&mut self) -> Result<(), HoldError> {
        let names: Vec<_> = self.places.iter().map(|place| place.name.clone()).collect();
        let outcomes = hold(&mut self.requests, &names).await?;
        let (mut first, mut new) = (Ok(()), false);
        for (outcome, place) in outcomes.into_iter().zip(&mut self.places) {
            new |= place.held(outcome.as_ref().copied().map_err(ToString::to_string));
            first = first.and(outcome.map(drop));
        }
        if new {
            self.rounds = Rounds::new(self.rounds.announcing, Instant::now());
        }
        first
    }

    async fn look(&mut self, looks: u64) {
        if let Err(error) = self.hold().await {
            debug!("not every virtual address is held: {error}");
        }
        self.ports
            .retain(|(interface, _), port| port.is_current(interface));
        for news in self.rivals.forget(Instant::now()) {
            tell(news);
        }
        if FIRST_PROBES.contains(&looks) || looks.is_multiple_of(PROBES) || self.rivals.in_doubt() {
            self.each_of_ours(Port::probe);
        }
    }

    fn announce(&mut self, now: Instant) {
        if self.rounds.is_due(now) {
            self.each_of_ours(Port::announce);
            // So far from the last one that was sent, not from when it was due.
            self.rounds.step(Instant::now());
        }
    }

    /// Sends something about every address that is our own.
    fn each_of_ours(&mut self, send: impl Fn(&Port, IpAddr) -> io::Result<()>) {
        for place in self.places.iter_mut().filter(|place| place.is_ours()) {
            let VirtualAddress {
                interface, address, ..
            } = &place.name;
            if !is_asked(interface) {
                continue;
            }
            let port = match self.ports.entry((interface.clone(), address.is_ipv4())) {
                Entry::Occupied(port) => Ok(port.into_mut()),
                Entry::Vacant(empty) => Port::open(interface, *address, self.sender.clone())
                    .map(|port| empty.insert(port)),
            };
            let outcome = port.and_then(|port| send(port, *address));
            place.sent(outcome);
        }
    }

    fn hear(&mut self, claim: Claim, now: Instant) {
        let mut ours = self.places.iter().filter(|place| place.is_ours());
        if !ours.any(|place| place.name.address == claim.address)
            || own_addresses::is_own(claim.mac)
        {
            return;
        }
        if let Some(news) = self.rivals.hear(claim.address, claim.mac, now) {
            tell(news);
        }
    }
}

fn tell(news: News) {
    match news {
        News::Duplicate(address, mac) => error!(
            "{address} is a DUPLICATE ADDRESS: the host with the Ethernet address {} holds it, too. If \
             that is the other director, both are master",
            spell(mac)
        ),
        News::Gone(address, mac) => info!(
            "{address} is no duplicate address any more: {} is not heard of",
            spell(mac)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(count: u32, interval: u64, repeat: u64) -> Vec<u128> {
        let start = Instant::now();
        let announcing = Announcing {
            count,
            interval: Duration::from_millis(interval),
            repeat: Duration::from_millis(repeat),
        };
        let mut rounds = Rounds::new(announcing, start);
        let mut times = Vec::new();
        while let Some(next) = rounds.next {
            assert!(rounds.is_due(next));
            times.push((next - start).as_millis());
            if times.len() == 7 {
                break;
            }
            rounds.step(next);
        }
        times
    }

    #[test]
    fn addresses_are_announced_in_rounds() {
        assert_eq!(times(5, 200, 0), [0, 200, 400, 600, 800]);
        assert_eq!(times(2, 100, 1000), [0, 100, 1100, 1200, 2200, 2300, 3300]);
        assert_eq!(times(1, 100, 0), [0]);
        assert_eq!(times(0, 100, 1000), []);
    }
}
