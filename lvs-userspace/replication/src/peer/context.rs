//! Context that the tasks of all sessions share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lvs_api::role::Role;
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
use super::hello::Hello;
use super::inherited::Inherited;
use super::key::Key;
use super::message::{Event, Instance, Message};
use super::refusal::RefusalCounters;
use super::tables::Tables;

/// Directors that are remembered after they left.
const REMEMBERED: usize = 16;

/// Context of the sessions of this director.
pub(super) struct Context {
    pub(super) instance: Instance,
    pub(super) key: Key,
    pub(super) maps: Arc<Maps>,
    pub(super) director: Arc<Mutex<Director>>,
    pub(super) refusals: RefusalCounters,
    pub(super) dialed: Vec<Arc<DialedPeer>>,
    pub(super) dialing: Mutex<BTreeMap<Instance, Arc<DialingPeer>>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) lost_events: AtomicU64,
    pub(super) role: watch::Receiver<Role>,
    /// Roles of the others, as they sent them.
    pub(super) roles: Mutex<BTreeMap<Instance, Role>>,
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
        Hello {
            instance: self.instance,
            role: *self.role.borrow(),
            sizes: self.tables().entries.sizes(),
        }
    }

    /// A session with a dialed peer begins.
    pub(super) fn session_begins(&self, peer: &DialedPeer, hello: &Hello) {
        self.roles.lock().insert(hello.instance, hello.role);
        peer.session_begins(hello.instance);
        self.publish(Event::Joined(hello.instance));
    }

    /// A session with a dialed peer ended.
    pub(super) fn session_ended(&self, peer: &DialedPeer, why: &SessionError) {
        if let Some(instance) = peer.session_ended(why) {
            self.publish(Event::Left(instance));
        }
    }

    /// Registers a peer that dialed, and proved that it has the key.
    pub(super) fn register(&self, hello: &Hello) -> Arc<DialingPeer> {
        self.roles.lock().insert(hello.instance, hello.role);
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
            self.roles.lock().insert(from, role);
        }
        self.publish(Event::Received(from, message));
    }

    fn publish(&self, event: Event) {
        // There may be no subscriber.
        let _ = self.events.send(event);
    }
}
