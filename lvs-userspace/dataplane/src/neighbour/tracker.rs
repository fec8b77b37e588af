//! The followed addresses and what is known about them: facts go in, questions and changes come
//! out. Sans I/O: the time comes in as an argument.
//!
//! The kernel is asked for the route of every followed address once; the answer is kept until
//! something happened that can change it. A neighbour that changes touches only the addresses that
//! use it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::time::Instant;

use super::asks::{Asks, Care};
use super::facts::{Fact, Link, Neighbour, NeighbourKey, Route};
use super::resolve::Tables;
use super::{Change, Resolution};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tables: Tables,
    followed: BTreeMap<IpAddr, Followed>,
    /// Addresses by the neighbour they go through.
    users: HashMap<NeighbourKey, BTreeSet<IpAddr>>,
    asks: Asks,
    /// Followed addresses whose route has to be looked up.
    unrouted: BTreeSet<IpAddr>,
    /// Followed addresses whose resolution may be another than the reported one; none of `unrouted`,
    /// they get here with their route.
    touched: BTreeSet<IpAddr>,
    /// Last address that [`Tracker::take_lookups`] came to.
    looked_up: Option<IpAddr>,
    /// Last address that [`Tracker::review`] came to.
    reviewed: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Followed {
    /// `None` until the kernel answered.
    route: Option<Route>,
    /// The neighbour among [`Tracker::users`].
    neighbour: Option<NeighbourKey>,
    reported: Option<Resolution>,
}

impl Tracker {
    /// Sets the addresses of interest. Every new one is reported, whatever comes out.
    pub(super) fn follow(&mut self, addresses: &BTreeSet<IpAddr>) {
        let gone: Vec<_> = self
            .followed
            .keys()
            .filter(|address| !addresses.contains(address))
            .copied()
            .collect();
        for address in gone {
            self.unuse(address);
            self.followed.remove(&address);
            self.unrouted.remove(&address);
            self.touched.remove(&address);
        }
        for &address in addresses {
            self.followed.entry(address).or_insert_with(|| {
                self.unrouted.insert(address);
                Followed::default()
            });
        }
    }

    /// Something happened. Facts that repeat what is known change nothing.
    pub(super) fn apply(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::Link(index, link) => self.link(index, link),
            Fact::Address(interface, address) => {
                let all = self.tables.addresses.entry(interface).or_default();
                match all.iter_mut().find(|known| known.ip == address.ip) {
                    Some(known) if *known == address => return,
                    Some(known) => *known = address,
                    None => all.push(address),
                }
                self.look_up_all();
            }
            Fact::NoAddress(interface, address) => {
                if let Some(all) = self.tables.addresses.get_mut(&interface) {
                    all.retain(|known| known.ip != address);
                }
                self.look_up_all();
            }
            Fact::Neighbour(key, neighbour) => self.neighbour(key, neighbour, now),
            Fact::Routes(prefix) => {
                let within = self.followed.range(prefix.range());
                self.look_up(within.map(|(&address, _)| address).collect());
            }
            Fact::AllRoutes => self.look_up_all(),
        }
    }

    /// Starts over from the whole of the kernel's links, addresses and neighbours.
    pub(super) fn replace(&mut self, facts: Vec<Fact>, now: Instant) {
        self.tables = Tables::default();
        for fact in facts {
            match fact {
                Fact::Link(index, Some(link)) => {
                    self.tables.links.insert(index, link);
                }
                Fact::Address(interface, address) => {
                    self.tables
                        .addresses
                        .entry(interface)
                        .or_default()
                        .push(address);
                }
                Fact::Neighbour(key, Some(neighbour)) => {
                    self.tables.neighbours.insert(key, neighbour);
                }
                _ => {}
            }
        }
        for &key in self.users.keys() {
            self.asks
                .heard(key, care(self.tables.neighbours.get(&key)), now);
        }
        self.look_up_all();
    }

    /// At most `most` addresses whose route the kernel is to be asked for. Everyone's turn comes,
    /// also where something happens all the time.
    pub(super) fn take_lookups(&mut self, most: usize) -> Vec<IpAddr> {
        let start = self.looked_up.map_or(Bound::Unbounded, Bound::Excluded);
        let mut taken: Vec<_> = self
            .unrouted
            .range((start, Bound::Unbounded))
            .take(most)
            .copied()
            .collect();
        if taken.is_empty() {
            taken = self.unrouted.iter().take(most).copied().collect();
        }
        for address in &taken {
            self.unrouted.remove(address);
        }
        self.looked_up = taken.last().copied();
        taken
    }

    /// These routes have to be looked up, or looked up again because no answer came.
    pub(super) fn look_up(&mut self, addresses: Vec<IpAddr>) {
        for address in &addresses {
            self.touched.remove(address);
        }
        self.unrouted.extend(addresses);
    }

    /// The kernel's answer to a lookup.
    pub(super) fn routed(&mut self, address: IpAddr, route: Route, now: Instant) {
        let Some(followed) = self.followed.get_mut(&address) else {
            return;
        };
        let neighbour = self.tables.wanted(address, &route);
        followed.route = Some(route);
        self.touched.insert(address);
        if followed.neighbour == neighbour {
            return;
        }
        self.unuse(address);
        if let Some(key) = neighbour {
            self.users.entry(key).or_default().insert(address);
            self.asks
                .want(key, care(self.tables.neighbours.get(&key)), now);
            self.followed.entry(address).or_default().neighbour = neighbour;
        }
    }

    /// At most `most` neighbours that the kernel is to be asked to find or to keep.
    pub(super) fn take_asks(&mut self, now: Instant, most: usize) -> Vec<NeighbourKey> {
        self.asks.take(now, most)
    }

    /// The kernel would not ask for a neighbour.
    pub(super) fn refused(&mut self, key: NeighbourKey, why: String, now: Instant) {
        if care(self.tables.neighbours.get(&key)) == Care::Find && self.users.contains_key(&key) {
            self.neighbour(key, Some(Neighbour::Refused(why)), now);
        }
    }

    /// Looks up the next of all followed addresses again, one in `parts`: for what the kernel does
    /// not announce, such as a path MTU it learned.
    pub(super) fn review(&mut self, parts: usize) {
        let most = self.followed.len().div_ceil(parts);
        let start = self.reviewed.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.followed.range((start, Bound::Unbounded));
        let next: Vec<_> = after.take(most).map(|(&address, _)| address).collect();
        self.reviewed = next.last().copied();
        self.look_up(next);
    }

    /// Whether routes have to be looked up.
    pub(super) fn has_lookups(&self) -> bool {
        !self.unrouted.is_empty()
    }

    /// Whether nothing is left to look up or to report.
    pub(super) fn is_settled(&self) -> bool {
        self.unrouted.is_empty() && self.touched.is_empty()
    }

    /// When a neighbour has to be asked for.
    pub(super) fn next_ask(&self) -> Option<Instant> {
        self.asks.next()
    }

    /// What became different since the last call. An address whose route is to be looked up comes
    /// later.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for address in std::mem::take(&mut self.touched) {
            let Some(followed) = self.followed.get_mut(&address) else {
                continue;
            };
            let Some(route) = &followed.route else {
                continue;
            };
            let resolution = self.tables.resolve(address, route);
            if followed.reported.as_ref() != Some(&resolution) {
                followed.reported = Some(resolution.clone());
                changes.push(Change {
                    address,
                    resolution,
                });
            }
        }
        changes
    }

    fn link(&mut self, index: u32, link: Option<Link>) {
        let known = self.tables.links.get(&index);
        if known == link.as_ref() {
            return;
        }
        // Linux says nothing of the IPv4 routes that it deletes with a link, and a VLAN device may
        // lie on this one, so neither events nor routes tell who is concerned.
        if known.is_some_and(Link::runs) || link.as_ref().is_some_and(Link::runs) {
            self.look_up_all();
        }
        if let Some(link) = link {
            self.tables.links.insert(index, link);
            return;
        }
        self.tables.links.remove(&index);
        self.tables.addresses.remove(&index);
        self.tables
            .neighbours
            .retain(|key, _| key.interface != index);
    }

    fn neighbour(&mut self, key: NeighbourKey, neighbour: Option<Neighbour>, now: Instant) {
        if self.tables.neighbours.get(&key) == neighbour.as_ref() {
            return;
        }
        self.asks.heard(key, care(neighbour.as_ref()), now);
        match neighbour {
            Some(neighbour) => self.tables.neighbours.insert(key, neighbour),
            None => self.tables.neighbours.remove(&key),
        };
        for &address in self.users.get(&key).into_iter().flatten() {
            if !self.unrouted.contains(&address) {
                self.touched.insert(address);
            }
        }
    }

    fn look_up_all(&mut self) {
        self.touched.clear();
        self.unrouted.extend(self.followed.keys());
    }

    fn unuse(&mut self, address: IpAddr) {
        let key = self
            .followed
            .get_mut(&address)
            .and_then(|followed| followed.neighbour.take());
        let Some(key) = key else { return };
        let Some(users) = self.users.get_mut(&key) else {
            return;
        };
        users.remove(&address);
        if users.is_empty() {
            self.users.remove(&key);
            self.asks.forget(key);
        }
    }
}

/// What is to be done about a neighbour in use.
fn care(neighbour: Option<&Neighbour>) -> Care {
    match neighbour {
        Some(Neighbour::Known(_)) => Care::Keep,
        Some(Neighbour::Fixed(_)) => Care::Leave,
        Some(Neighbour::Asked | Neighbour::Silent | Neighbour::Refused(_)) | None => Care::Find,
    }
}

#[cfg(test)]
mod tests;
