//! The task of a master: it adds its addresses, announces them, and looks for other hosts that hold them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::role::AddressStatus;
use lvs_api::virtual_address::VirtualAddress;
use lvs_dataplane::netlink::Requests;
use lvs_dataplane::own_addresses;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, info};

use super::announcer::{Announcer, has_neighbours};
use super::conflict::{ConflictEvent, Conflicts, spell};
use super::frame::Claim;
use super::held_address::HeldAddress;
use super::interface_addresses::{AddressError, add_missing, remove};
use super::schedule::{Announcing, Schedule};

/// Interval of [`Task::tick`].
const TICK: Duration = Duration::from_secs(1);
/// Ticks at which probes are sent after the addresses were added: by then another director has removed its.
const FIRST_PROBES: RangeInclusive<u64> = 1..=3;
/// Interval of probes afterwards, in ticks.
const PROBES: u64 = 30;
/// Claims that may wait to be processed.
const CLAIMS: usize = 64;

/// Holds the addresses until they are [released](Self::release), or it is dropped: then they stay.
#[derive(Debug)]
pub(crate) struct Holder {
    addresses: Arc<[VirtualAddress]>,
    status: Arc<Mutex<Vec<AddressStatus>>>,
    task: JoinHandle<()>,
}

impl Holder {
    /// Adds the addresses and announces them once; a task does the rest.
    ///
    /// With `all` it adds all or, with an error, none. Otherwise those that cannot be added are tried again
    /// until they can.
    pub(crate) async fn acquire(
        addresses: Arc<[VirtualAddress]>,
        announcing: Announcing,
        all: bool,
    ) -> Result<Self, AddressError> {
        let status = Arc::new(Mutex::new(Vec::new()));
        let (sender, claims) = mpsc::channel(CLAIMS);
        let mut holder = Task {
            held: addresses.iter().cloned().map(HeldAddress::new).collect(),
            requests: Requests::open()?,
            announcers: HashMap::new(),
            claims: sender,
            conflicts: Conflicts::default(),
            schedule: Schedule::new(announcing, Instant::now()),
            status: Arc::clone(&status),
        };
        if let (Err(error), true) = (holder.add_missing().await, all) {
            if let Err(error) = remove(&addresses).await {
                error!("{error}");
            }
            return Err(error);
        }
        holder.announce(Instant::now());
        holder.publish();
        let task = tokio::spawn(holder.run(claims));
        Ok(Self {
            addresses,
            status,
            task,
        })
    }

    /// The state of each address.
    pub(crate) fn status(&self) -> Vec<AddressStatus> {
        self.status.lock().clone()
    }

    /// Removes all addresses.
    pub(crate) async fn release(mut self) -> Result<(), AddressError> {
        self.task.abort();
        // It might be adding one just now. The error says that it was aborted.
        let _ = (&mut self.task).await;
        remove(&self.addresses).await
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    held: Vec<HeldAddress>,
    requests: Requests,
    /// By the interface's name; true: for IPv4.
    announcers: HashMap<(String, bool), Announcer>,
    claims: mpsc::Sender<Claim>,
    conflicts: Conflicts,
    schedule: Schedule,
    status: Arc<Mutex<Vec<AddressStatus>>>,
}

impl Task {
    async fn run(mut self, mut claims: mpsc::Receiver<Claim>) {
        let mut ticker = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks: u64 = 0;
        loop {
            let far = Instant::now() + Duration::from_hours(1);
            let next = self.schedule.next().unwrap_or(far);
            tokio::select! {
                _ = ticker.tick() => {
                    ticks += 1;
                    self.tick(ticks).await;
                }
                () = tokio::time::sleep_until(next.into()) => self.announce(Instant::now()),
                Some(claim) = claims.recv() => self.process(claim, Instant::now()),
            }
            self.publish();
        }
    }

    fn publish(&self) {
        let status = self.held.iter().map(|held| held.status(&self.conflicts));
        *self.status.lock() = status.collect();
    }

    /// Adds the addresses that are missing. Returns the first error.
    async fn add_missing(&mut self) -> Result<(), AddressError> {
        let names: Vec<_> = self.held.iter().map(|held| held.name.clone()).collect();
        let outcomes = add_missing(&mut self.requests, &names).await?;
        let (mut first, mut new) = (Ok(()), false);
        for (outcome, held) in outcomes.into_iter().zip(&mut self.held) {
            new |= held.record_addition(outcome.as_ref().copied().map_err(ToString::to_string));
            first = first.and(outcome.map(drop));
        }
        if new {
            self.schedule.restart(Instant::now());
        }
        first
    }

    async fn tick(&mut self, ticks: u64) {
        if let Err(error) = self.add_missing().await {
            debug!("not every virtual address is held: {error}");
        }
        self.announcers
            .retain(|(interface, _), announcer| announcer.is_current(interface));
        for event in self.conflicts.expire(Instant::now()) {
            log(event);
        }
        if FIRST_PROBES.contains(&ticks)
            || ticks.is_multiple_of(PROBES)
            || self.conflicts.has_unconfirmed()
        {
            self.send_each(Announcer::probe);
        }
    }

    fn announce(&mut self, now: Instant) {
        if self.schedule.is_due(now) {
            self.send_each(Announcer::announce);
            // So far from the last one that was sent, not from when it was due.
            self.schedule.advance(Instant::now());
        }
    }

    /// Sends something about every address that an lvsd added.
    fn send_each(&mut self, send: impl Fn(&Announcer, IpAddr) -> io::Result<()>) {
        for held in self.held.iter_mut().filter(|held| held.is_ours()) {
            let VirtualAddress {
                interface, address, ..
            } = &held.name;
            if !has_neighbours(interface) {
                continue;
            }
            let announcer = match self
                .announcers
                .entry((interface.clone(), address.is_ipv4()))
            {
                Entry::Occupied(announcer) => Ok(announcer.into_mut()),
                Entry::Vacant(empty) => Announcer::open(interface, *address, self.claims.clone())
                    .map(|announcer| empty.insert(announcer)),
            };
            let outcome = announcer.and_then(|announcer| send(announcer, *address));
            held.record_send(outcome);
        }
    }

    /// Looks whether another host claims one of our addresses.
    fn process(&mut self, claim: Claim, now: Instant) {
        let mut ours = self.held.iter().filter(|held| held.is_ours());
        if !ours.any(|held| held.name.address == claim.address) || own_addresses::is_own(claim.mac)
        {
            return;
        }
        let detected = self.conflicts.record(claim, now);
        if let Some(event) = detected {
            log(event);
        }
    }
}

fn log(event: ConflictEvent) {
    match event {
        ConflictEvent::Detected(address, mac) => error!(
            "{address} is a DUPLICATE ADDRESS: the host with the Ethernet address {} holds it, too. If \
             that is the other director, both are master",
            spell(mac)
        ),
        ConflictEvent::Resolved(address, mac) => info!(
            "{address} is no duplicate address any more: {} is not heard of",
            spell(mac)
        ),
    }
}
