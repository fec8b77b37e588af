//! Status of the sessions.

use std::sync::atomic::Ordering;

use lvs_api::peers::{PeerReceived, PeerState, PeerStatus, PeersStatus};

use super::context::Context;
use super::dialed::DialedPeer;
use super::dialing::DialingPeer;
use super::message::Instance;
use super::peers::Peers;

impl Peers {
    /// Status of all peers: those that are dialed first.
    pub fn status(&self) -> PeersStatus {
        let context = &self.context;
        let mut peers: Vec<_> = context
            .dialed
            .iter()
            .map(|peer| context.dialed_status(peer))
            .collect();
        let dialed: Vec<_> = peers
            .iter()
            .filter_map(|peer| peer.instance.clone())
            .collect();
        let others: Vec<_> = context.dialing.lock().values().cloned().collect();
        let others = others
            .iter()
            .filter(|other| !dialed.contains(&other.instance.to_string()));
        peers.extend(others.map(|other| context.dialing_status(other)));
        PeersStatus {
            instance: Some(context.instance.to_string()),
            listening: Some(self.listening().to_string()),
            peers,
            refused: context.refusals.list(),
            lost_events: context.lost_events.load(Ordering::Relaxed),
        }
    }

    /// True if a director and this one have each other's connections.
    pub fn in_step(&self, instance: Instance) -> bool {
        let peer = self.context.dialed.iter().find(|peer| {
            let state = peer.state.lock();
            state.instance == Some(instance)
        });
        peer.is_some_and(|peer| self.context.dialed_status(peer).state == PeerState::InStep)
    }
}

impl Context {
    /// Status of a peer that is dialed.
    fn dialed_status(&self, peer: &DialedPeer) -> PeerStatus {
        let (instance, itself, mut problem, since, sent) = {
            let state = peer.state.lock();
            let sent = state.sent.clone();
            let problem = state.problem.clone();
            (state.instance, state.itself, problem, state.since, sent)
        };
        if itself {
            return PeerStatus {
                address: peer.address.clone(),
                instance: Some(self.instance.to_string()),
                role: Some(*self.role.borrow()),
                state: PeerState::Itself,
                since,
                problem: None,
                sent: None,
                received: None,
            };
        }
        let other = instance.and_then(|instance| self.dialing.lock().get(&instance).cloned());
        let other = other.map(|other| received_from(&other));
        let applied = peer.scans.borrow().0 > 0;
        let (received, complete, later) = other
            .map_or((None, false, 0), |(received, complete, since)| {
                (Some(received), complete, since)
            });
        let dials = received.as_ref().is_some_and(|received| received.connected);
        let state = match (sent.connected && dials, applied && complete) {
            (false, _) => PeerState::Away,
            (true, false) => PeerState::CatchingUp,
            (true, true) => PeerState::InStep,
        };
        if sent.connected && !dials {
            problem = Some("it does not dial this director: is it one of its peers?".to_owned());
        }
        PeerStatus {
            address: peer.address.clone(),
            instance: instance.map(|instance| instance.to_string()),
            role: instance.and_then(|instance| self.roles.lock().get(&instance).copied()),
            state,
            since: since.max(later),
            problem,
            sent: Some(sent),
            received,
        }
    }

    /// Status of a peer that dials and is not dialed.
    fn dialing_status(&self, other: &DialingPeer) -> PeerStatus {
        let (received, complete, since) = received_from(other);
        PeerStatus {
            address: other.state.lock().address.clone(),
            instance: Some(other.instance.to_string()),
            role: self.roles.lock().get(&other.instance).copied(),
            state: match (received.connected, complete) {
                (false, _) => PeerState::Away,
                (true, false) => PeerState::CatchingUp,
                (true, true) => PeerState::InStep,
            },
            since,
            problem: None,
            sent: None,
            received: Some(received),
        }
    }
}

/// Counters of what a peer sends, whether its bulk sync is complete, and since when it is so.
fn received_from(other: &DialingPeer) -> (PeerReceived, bool, u64) {
    let state = other.state.lock();
    let received = PeerReceived {
        discarded: other.discarded.list(),
        ..state.received.clone()
    };
    (received, state.complete, state.since)
}
