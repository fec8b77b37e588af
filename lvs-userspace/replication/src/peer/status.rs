//! Status of the sessions.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lvs_api::peers::{PeerReceived, PeerSent, PeerState, PeerStatus, PeersStatus};

use super::age::{Bulk, Shown};
use super::context::Context;
use super::dialed::DialedPeer;
use super::dialing::DialingPeer;
use super::message::Instance;
use super::peers::Peers;

/// A list of peers that has only one of two.
const NOT_DIALED: &str =
    "it does not dial this director: its lvsd needs this one's address as a `--peer', too";

impl Peers {
    /// Status of all peers: those that are dialed first.
    pub fn status(&self) -> PeersStatus {
        let context = &self.context;
        let dialed = context.dialed.iter();
        let mut peers: Vec<_> = dialed.map(|peer| context.dialed_status(peer)).collect();
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
        let (instance, itself, mut problem, since, away_since, sent) = {
            let (scan_applied, scan_begun) = *peer.scans.borrow();
            let state = peer.state.lock();
            let sent = PeerSent {
                bulk: state.bulk.map(Bulk::shown),
                scan_applied,
                scan_begun,
                ..state.sent.clone()
            };
            let problem = state.problem.clone();
            let (since, away_since) = (state.since, state.away_since);
            let itself = state.itself;
            let instance = state
                .instance
                .or_else(|| self.dialing_from(&state.resolved));
            (instance, itself, problem, since, away_since, sent)
        };
        if itself {
            let shown = Shown::of(since);
            return PeerStatus {
                address: peer.address.clone(),
                instance: Some(self.instance.to_string()),
                role: Some(self.role.borrow().role),
                state: PeerState::Itself,
                since: shown.date,
                age: shown.age,
                problem: None,
                version: None,
                comparison: None,
                sent: None,
                received: None,
            };
        }
        let other = instance.and_then(|instance| self.dialing.lock().get(&instance).cloned());
        let other = other.map(|other| received_from(&other));
        let applied = peer.scans.borrow().0 > 0;
        let (received, complete, later) = other
            .map_or((None, false, since), |(received, complete, since)| {
                (Some(received), complete, since)
            });
        let dials = received.as_ref().is_some_and(|received| received.connected);
        let state = match (sent.connected && dials, applied && complete) {
            (false, _) => PeerState::Away,
            (true, false) => PeerState::CatchingUp,
            (true, true) => PeerState::InStep,
        };
        if sent.connected && !dials {
            problem = Some(NOT_DIALED.to_owned());
        }
        let moment = match state {
            PeerState::Away => away_since,
            _ => since.max(later),
        };
        let shown = Shown::of(moment);
        PeerStatus {
            address: peer.address.clone(),
            instance: instance.map(|instance| instance.to_string()),
            role: instance.and_then(|instance| Some(self.roles.lock().get(&instance)?.role)),
            state,
            since: shown.date,
            age: shown.age,
            problem,
            version: peer.version(),
            comparison: None,
            sent: Some(sent),
            received,
        }
    }

    /// The director that dials from one of these addresses.
    fn dialing_from(&self, addresses: &[IpAddr]) -> Option<Instance> {
        let dialing = self.dialing.lock();
        let mut others = dialing.values();
        let other = others.find(|other| {
            let state = other.state.lock();
            let address = state.address.parse::<IpAddr>();
            state.received.connected && address.is_ok_and(|it| addresses.contains(&it))
        });
        other.map(|other| other.instance)
    }

    /// Status of a peer that dials and is not dialed.
    fn dialing_status(&self, other: &DialingPeer) -> PeerStatus {
        let (received, complete, since) = received_from(other);
        let shown = Shown::of(since);
        let address = other.state.lock().address.clone();
        let problem = format!(
            "this director does not dial it: start lvsd with `--peer {address}', or it gets no connections of this one"
        );
        PeerStatus {
            address,
            instance: Some(other.instance.to_string()),
            role: self.roles.lock().get(&other.instance).map(|it| it.role),
            state: match (received.connected, complete) {
                (true, false) => PeerState::CatchingUp,
                // One direction is not enough.
                _ => PeerState::Away,
            },
            since: shown.date,
            age: shown.age,
            problem: Some(problem),
            version: None,
            comparison: None,
            sent: None,
            received: Some(received),
        }
    }
}

/// Counters of what a peer sends, whether its bulk sync is complete, and since when it is so.
fn received_from(other: &DialingPeer) -> (PeerReceived, bool, Instant) {
    let state = other.state.lock();
    let received = PeerReceived {
        bulk: state.bulk.map(Bulk::shown),
        discarded: other.discarded.list(),
        ..state.received.clone()
    };
    (received, state.complete, state.since)
}
