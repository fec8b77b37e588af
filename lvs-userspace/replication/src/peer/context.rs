//! Context that the tasks of all sessions share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lvs_common::abi::Config;
use lvs_common::connection::EntryId;
use lvs_dataplane::director::Director;
use lvs_dataplane::kernel::Maps;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{broadcast, watch};

use super::dialed::DialedPeer;
use super::dialing::DialingPeer;
use super::frame::SessionError;
use super::hello::{Hello, Versions};
use super::inherited::Inherited;
use super::key::Key;
use super::message::{Event, Instance, Message};
use super::refusal::Refusals;
use super::role_in_force::RoleInForce;
use super::tables::Tables;

/// Directors that are remembered after they left.
const REMEMBERED: usize = 16;

/// Context of the sessions of this director.
pub(super) struct Context {
    pub(super) instance: Instance,
    pub(super) key: Key,
    /// Address at which it listens.
    pub(super) listening: SocketAddr,
    pub(super) maps: Arc<Maps>,
    pub(super) director: Arc<Mutex<Director>>,
    pub(super) refusals: Refusals,
    pub(super) dialed: Vec<Arc<DialedPeer>>,
    pub(super) dialing: Mutex<BTreeMap<Instance, Arc<DialingPeer>>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) lost_events: AtomicU64,
    pub(super) role: watch::Receiver<RoleInForce>,
    /// Roles of the others, as they sent them.
    pub(super) roles: Mutex<BTreeMap<Instance, RoleInForce>>,
    /// Replicas that the lvsd before this one left.
    pub(super) inherited: Mutex<Inherited>,
}

/// Name of a director: a hash of the secrets of its tables, which are drawn when the tables are made.
pub(super) fn instance(config: &Config) -> Instance {
    let mut hash = Sha256::new().chain_update(b"lvs instance\0");
    for secret in config.secrets {
        hash.update(secret.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.first_chunk().copied().unwrap_or_default();
    Instance(u64::from_be_bytes(first))
}

impl Context {
    /// The tables.
    pub(super) fn tables(&self) -> Tables<'_> {
        self.maps.as_ref().into()
    }

    /// The introduction of this director.
    pub(super) fn hello(&self) -> Hello {
        let RoleInForce { role, candidate } = *self.role.borrow();
        Hello {
            instance: self.instance,
            role,
            candidate,
            versions: Versions::OWN,
            sizes: self.tables().entries.sizes(),
        }
    }

    /// A session with a dialed peer begins, in this version of the protocol.
    pub(super) fn session_begins(&self, peer: &DialedPeer, hello: &Hello, version: u16) {
        self.roles.lock().insert(hello.instance, hello.in_force());
        // It came back with new tables, or another one took its place.
        if let Some(before) = peer.session_begins(hello.instance, version) {
            self.forget(before);
        }
        self.publish(Event::Joined(hello.instance));
    }

    /// A session with a dialed peer ended.
    pub(super) fn session_ended(&self, peer: &DialedPeer, why: &SessionError) {
        let dials = |instance| {
            let dialing = self.dialing.lock();
            let other = dialing.get(&instance);
            other.is_some_and(|other| other.state.lock().received.connected)
        };
        if let Some(instance) = peer.session_ended(why) {
            if dials(instance) {
                peer.is_away();
            }
            self.publish(Event::Left(instance));
        }
    }

    /// A session of a peer that dialed ended.
    pub(super) fn dialing_ended(&self, other: &DialingPeer, why: &SessionError) {
        other.session_ended(why);
        let mut dialed = self.dialed.iter();
        if let Some(peer) = dialed.find(|it| it.connected() == Some(other.instance)) {
            peer.is_away();
        }
        if other.is_replaced() {
            self.forget(other.instance);
        }
    }

    /// Forgets a director that is no more: one with other tables answers at its address. While its session has
    /// not ended it stays until then.
    fn forget(&self, instance: Instance) {
        let mut dialing = self.dialing.lock();
        if let Some(other) = dialing.get(&instance)
            && !other.set_replaced()
        {
            return;
        }
        dialing.remove(&instance);
        self.roles.lock().remove(&instance);
    }

    /// Registers a peer that dialed from an address, and proved that it has the key.
    pub(super) fn register(&self, hello: &Hello, address: SocketAddr) -> Arc<DialingPeer> {
        self.roles.lock().insert(hello.instance, hello.in_force());
        let address = address.ip().to_canonical().to_string();
        let mut before: Vec<Instance> = Vec::new();
        {
            let dialing = self.dialing.lock();
            if !dialing.contains_key(&hello.instance) {
                let gone = dialing.values().filter(|other| {
                    let state = other.state.lock();
                    state.address == address && !state.received.connected
                });
                before.extend(gone.map(|other| other.instance));
            }
        }
        for gone in before {
            self.forget(gone);
        }
        let mut dialing = self.dialing.lock();
        if dialing.len() >= REMEMBERED && !dialing.contains_key(&hello.instance) {
            let gone = dialing
                .iter()
                .find(|(_, peer)| !peer.state.lock().received.connected);
            if let Some(gone) = gone.map(|(instance, _)| *instance) {
                dialing.remove(&gone);
                self.roles.lock().remove(&gone);
            }
        }
        let peer = dialing
            .entry(hello.instance)
            .or_insert_with(|| Arc::new(DialingPeer::new(hello.instance)));
        Arc::clone(peer)
    }

    /// Sends a peer entries whole, whatever it was sent of them.
    pub(super) fn resend(&self, peer: Instance, entries: &[EntryId]) {
        let mut dialed = self.dialed.iter();
        if let Some(peer) = dialed.find(|it| it.connected() == Some(peer)) {
            peer.resend(entries);
        }
    }

    /// Passes a message of a peer on.
    pub(super) fn received(&self, from: Instance, message: Message) {
        if let Message::Role(role) = message {
            self.roles.lock().insert(from, role.into());
        }
        self.publish(Event::Received(from, message));
    }

    fn publish(&self, event: Event) {
        // There may be no subscriber.
        let _ = self.events.send(event);
    }
}
