//! The followed addresses and their resolutions: updates go in, requests and changes come out. Sans I/O:
//! the time comes in as an argument.
//!
//! The kernel is asked for the route of every followed address once; the answer is kept until an update
//! that can change it. A neighbour that changes touches only the addresses that
//! use it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::next_hop::{Change, Resolution};
use super::refresh::{RefreshPolicy, RefreshSchedule};
use super::tables::{Interface, Interfaces, Neighbour, NeighbourKey, Route, Tables};
use super::update::Update;
use crate::followed::Followed;

/// The state of all followed addresses.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tables: Tables,
    followed: BTreeMap<IpAddr, FollowedAddress>,
    /// Number of changes of the wanted addresses that these follow from.
    changes: u64,
    /// Addresses by the neighbour they go through.
    users: HashMap<NeighbourKey, BTreeSet<IpAddr>>,
    refreshes: RefreshSchedule,
    /// Followed addresses whose route has to be looked up.
    unrouted: BTreeSet<IpAddr>,
    /// Followed addresses whose resolution may be another than the reported one; none of `unrouted`,
    /// they get here with their route.
    dirty: BTreeSet<IpAddr>,
    /// Last address that [`Tracker::pop_lookups`] returned.
    looked_up: Option<IpAddr>,
    /// Last address that [`Tracker::review`] marked.
    reviewed: Option<IpAddr>,
    /// The interfaces are not those of the last [`Tracker::changed_interfaces`].
    interfaces_changed: bool,
}

#[derive(Debug, Default)]
struct FollowedAddress {
    /// `None` until the kernel answered.
    route: Option<Route>,
    /// The neighbour among [`Tracker::users`].
    neighbour: Option<NeighbourKey>,
    reported: Option<Resolution>,
}

impl Tracker {
    /// Follows exactly these addresses. Every new one is reported, resolved or not.
    pub(super) fn follow(&mut self, wanted: &Followed) {
        let addresses = wanted.addresses();
        let changed = wanted.changed_since(self.changes);
        self.changes = wanted.changes();
        if let Some(changed) = changed {
            for address in changed {
                if addresses.contains(&address) {
                    self.insert(address);
                } else {
                    self.remove(address);
                }
            }
        } else {
            self.follow_exactly(addresses);
        }
    }

    fn follow_exactly(&mut self, addresses: &BTreeSet<IpAddr>) {
        let gone: Vec<_> = self
            .followed
            .keys()
            .filter(|address| !addresses.contains(address))
            .copied()
            .collect();
        for address in gone {
            self.remove(address);
        }
        for &address in addresses {
            self.insert(address);
        }
    }

    fn insert(&mut self, address: IpAddr) {
        self.followed.entry(address).or_insert_with(|| {
            self.unrouted.insert(address);
            FollowedAddress::default()
        });
    }

    fn remove(&mut self, address: IpAddr) {
        self.release_neighbour(address);
        self.followed.remove(&address);
        self.unrouted.remove(&address);
        self.dirty.remove(&address);
    }

    /// Applies an update. Updates that repeat what is known change nothing.
    pub(super) fn apply(&mut self, update: Update, now: Instant) {
        match update {
            Update::Interface(index, state) => self.apply_interface(index, state),
            Update::Address(interface, address) => {
                let all = self.tables.addresses.entry(interface).or_default();
                match all.iter_mut().find(|known| known.ip == address.ip) {
                    Some(known) if *known == address => return,
                    Some(known) => *known = address,
                    None => all.push(address),
                }
                self.look_up_all();
            }
            Update::AddressRemoved(interface, address) => {
                if let Some(all) = self.tables.addresses.get_mut(&interface) {
                    all.retain(|known| known.ip != address);
                }
                self.look_up_all();
            }
            Update::Neighbour(key, state) => self.apply_neighbour(key, state, now),
            Update::Routes(prefix) => {
                let within = self.followed.range(prefix.range());
                self.look_up(within.map(|(&address, _)| address).collect());
            }
            Update::AllRoutes => self.look_up_all(),
        }
    }

    /// Sets the interfaces that take frames from an XDP program.
    pub(super) fn set_senders(&mut self, senders: Arc<BTreeSet<u32>>) {
        if self.tables.senders == senders {
            return;
        }
        self.tables.senders = senders;
        let routed = self.followed.keys();
        self.dirty
            .extend(routed.filter(|address| !self.unrouted.contains(address)));
    }

    /// The interfaces, if they are not those of the last call.
    pub(super) fn changed_interfaces(&mut self) -> Option<Arc<Interfaces>> {
        std::mem::take(&mut self.interfaces_changed)
            .then(|| Arc::new(self.tables.interfaces.clone()))
    }

    /// Starts over from the whole of the kernel's interfaces, addresses and neighbours.
    pub(super) fn replace(&mut self, updates: Vec<Update>, now: Instant) {
        self.interfaces_changed = true;
        self.tables = Tables {
            senders: Arc::clone(&self.tables.senders),
            ..Tables::default()
        };
        for update in updates {
            match update {
                Update::Interface(index, Some(state)) => {
                    self.tables.interfaces.insert(index, state);
                }
                Update::Address(interface, address) => {
                    self.tables
                        .addresses
                        .entry(interface)
                        .or_default()
                        .push(address);
                }
                Update::Neighbour(key, Some(neighbour)) => {
                    self.tables.neighbours.insert(key, neighbour);
                }
                _ => {}
            }
        }
        for &key in self.users.keys() {
            self.refreshes.update(
                key,
                RefreshPolicy::of(self.tables.neighbours.get(&key)),
                now,
            );
        }
        self.look_up_all();
    }

    /// Returns at most `most` addresses whose route the kernel is to be asked for. Everyone's turn comes,
    /// also where updates come all the time.
    pub(super) fn pop_lookups(&mut self, most: usize) -> Vec<IpAddr> {
        let start = self.looked_up.map_or(Bound::Unbounded, Bound::Excluded);
        let mut addresses: Vec<_> = self
            .unrouted
            .range((start, Bound::Unbounded))
            .take(most)
            .copied()
            .collect();
        if addresses.is_empty() {
            addresses = self.unrouted.iter().take(most).copied().collect();
        }
        for address in &addresses {
            self.unrouted.remove(address);
        }
        self.looked_up = addresses.last().copied();
        addresses
    }

    /// Marks routes to be looked up, or looked up again because no answer came.
    pub(super) fn look_up(&mut self, addresses: Vec<IpAddr>) {
        for address in &addresses {
            self.dirty.remove(address);
        }
        self.unrouted.extend(addresses);
    }

    /// Applies the kernel's answer to a lookup.
    pub(super) fn set_route(&mut self, address: IpAddr, route: Route, now: Instant) {
        let Some(followed) = self.followed.get_mut(&address) else {
            return;
        };
        let neighbour = self.tables.required_neighbour(address, &route);
        followed.route = Some(route);
        self.dirty.insert(address);
        if followed.neighbour == neighbour {
            return;
        }
        self.release_neighbour(address);
        if let Some(key) = neighbour {
            self.users.entry(key).or_default().insert(address);
            self.refreshes.insert(
                key,
                RefreshPolicy::of(self.tables.neighbours.get(&key)),
                now,
            );
            self.followed.entry(address).or_default().neighbour = neighbour;
        }
    }

    /// Returns at most `most` neighbours that the kernel is to be requested to find or to keep.
    pub(super) fn pop_refreshes(&mut self, now: Instant, most: usize) -> Vec<NeighbourKey> {
        self.refreshes.pop_due(now, most)
    }

    /// Applies that the kernel refused to solicit a neighbour.
    pub(super) fn set_refused(&mut self, key: NeighbourKey, why: String, now: Instant) {
        if RefreshPolicy::of(self.tables.neighbours.get(&key)) == RefreshPolicy::Resolve
            && self.users.contains_key(&key)
        {
            self.apply_neighbour(key, Some(Neighbour::Refused(why)), now);
        }
    }

    /// Marks the next of all followed addresses to be looked up again, one in `parts`: for changes that the
    /// kernel does not announce, such as a path MTU it learned.
    pub(super) fn review(&mut self, parts: usize) {
        let most = self.followed.len().div_ceil(parts);
        let start = self.reviewed.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.followed.range((start, Bound::Unbounded));
        let next: Vec<_> = after.take(most).map(|(&address, _)| address).collect();
        self.reviewed = next.last().copied();
        self.look_up(next);
    }

    /// True while routes have to be looked up.
    pub(super) fn has_lookups(&self) -> bool {
        !self.unrouted.is_empty()
    }

    /// True while nothing is left to look up or to report.
    pub(super) fn is_idle(&self) -> bool {
        self.unrouted.is_empty() && self.dirty.is_empty()
    }

    /// Time of the next neighbour to be requested.
    pub(super) fn next_refresh(&self) -> Option<Instant> {
        self.refreshes.next_due()
    }

    /// Returns the changes since the last call. An address whose route is to be looked up comes later.
    pub(super) fn drain_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for address in std::mem::take(&mut self.dirty) {
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

    fn apply_interface(&mut self, index: u32, state: Option<Interface>) {
        let known = self.tables.interfaces.get(&index);
        if known == state.as_ref() {
            return;
        }
        self.interfaces_changed = true;
        // Linux does not announce the IPv4 routes that it deletes with an interface, and a VLAN device may
        // lie on this one, so neither events nor routes name the addresses concerned.
        if known.is_some_and(Interface::can_send) || state.as_ref().is_some_and(Interface::can_send)
        {
            self.look_up_all();
        }
        if let Some(state) = state {
            self.tables.interfaces.insert(index, state);
            return;
        }
        self.tables.interfaces.remove(&index);
        self.tables.addresses.remove(&index);
        self.tables
            .neighbours
            .retain(|key, _| key.interface != index);
    }

    fn apply_neighbour(&mut self, key: NeighbourKey, state: Option<Neighbour>, now: Instant) {
        if self.tables.neighbours.get(&key) == state.as_ref() {
            return;
        }
        self.refreshes
            .update(key, RefreshPolicy::of(state.as_ref()), now);
        match state {
            Some(state) => self.tables.neighbours.insert(key, state),
            None => self.tables.neighbours.remove(&key),
        };
        for &address in self.users.get(&key).into_iter().flatten() {
            if !self.unrouted.contains(&address) {
                self.dirty.insert(address);
            }
        }
    }

    fn look_up_all(&mut self) {
        self.dirty.clear();
        self.unrouted.extend(self.followed.keys());
    }

    fn release_neighbour(&mut self, address: IpAddr) {
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
            self.refreshes.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
