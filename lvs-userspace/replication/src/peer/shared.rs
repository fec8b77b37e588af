//! What the tasks of all links share: who is there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use lvs_common::abi::{Config, ServiceKey};
use sha2::{Digest as _, Sha256};
use tokio::sync::{broadcast, watch};

use super::found::Found;
use super::frame::Broken;
use super::hello::Hello;
use super::key::Key;
use super::link::{In, Out, lock};
use super::message::{Event, Instance, Message};
use super::refusal::Refusals;
use super::take::Recognize;
use super::view::View;
use crate::sync::Discard;
use lvs_api::role::Role;
use lvs_dataplane::director::{Director, Recognized};
use lvs_dataplane::kernel::Maps;

/// Directors that are remembered after they left.
const REMEMBERED: usize = 16;

/// The links.
pub(super) struct Shared {
    pub(super) instance: Instance,
    pub(super) key: Key,
    pub(super) maps: Arc<Maps>,
    pub(super) director: Arc<Mutex<Director>>,
    pub(super) refusals: Refusals,
    pub(super) outs: Vec<Arc<Out>>,
    pub(super) ins: Mutex<BTreeMap<Instance, Arc<In>>>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) lost_events: AtomicU64,
    pub(super) role: watch::Receiver<Role>,
    /// Roles of the others, as they said.
    pub(super) roles: Mutex<BTreeMap<Instance, Role>>,
    /// What the lvsd before this one was told.
    pub(super) found: Mutex<Found>,
}

/// Who a director is: the secrets of its tables, which are drawn when the tables are made, hashed.
pub(super) fn instance(config: &Config) -> Instance {
    let mut hash = Sha256::new().chain_update(b"lvs instance\0");
    for secret in config.secrets {
        hash.update(secret.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.first_chunk().copied().unwrap_or_default();
    Instance(u64::from_be_bytes(first))
}

impl Shared {
    /// The tables.
    pub(super) fn view(&self) -> View<'_> {
        self.maps.as_ref().into()
    }

    /// How this director introduces itself.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            instance: self.instance,
            role: *self.role.borrow(),
            ways: self.view().ways(),
        }
    }

    /// A peer that was dialled has answered.
    pub(super) fn reached(&self, out: &Out, hello: &Hello) {
        lock(&self.roles).insert(hello.instance, hello.role);
        out.begins(hello.instance);
        self.publish(Event::Joined(hello.instance));
    }

    /// A session with a peer that was dialled broke.
    pub(super) fn lost(&self, out: &Out, why: &Broken) {
        if let Some(instance) = out.ends(why) {
            self.publish(Event::Left(instance));
        }
    }

    /// A peer has dialled, and proved that it has the key.
    pub(super) fn dialled(&self, hello: &Hello) -> Arc<In> {
        lock(&self.roles).insert(hello.instance, hello.role);
        let mut ins = lock(&self.ins);
        if ins.len() >= REMEMBERED && !ins.contains_key(&hello.instance) {
            let gone = ins
                .iter()
                .find(|(_, peer)| !lock(&peer.state).taken.connected);
            if let Some(gone) = gone.map(|(instance, _)| *instance) {
                ins.remove(&gone);
                lock(&self.roles).remove(&gone);
            }
        }
        let peer = ins
            .entry(hello.instance)
            .or_insert_with(|| Arc::new(In::new(hello.instance)));
        Arc::clone(peer)
    }

    /// A peer told of entries that are later here, or gave way.
    pub(super) fn tell_again(&self, peer: Instance, entries: &[u32]) {
        let mut outs = self.outs.iter();
        if let Some(out) = outs.find(|out| out.connected() == Some(peer)) {
            out.tell_again(entries);
        }
    }

    /// A peer has said something.
    pub(super) fn received(&self, from: Instance, message: Message) {
        if let Message::Role(role) = message {
            lock(&self.roles).insert(from, role);
        }
        self.publish(Event::Received(from, message));
    }

    fn publish(&self, event: Event) {
        // Nobody may be interested.
        let _ = self.events.send(event);
    }
}

impl Recognize for Director {
    fn recognize(&self, service: &ServiceKey, server: SocketAddr) -> Result<Recognized, Discard> {
        Ok(self.recognize_named(service, server)?)
    }
}
