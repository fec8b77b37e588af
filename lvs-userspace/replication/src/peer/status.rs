//! How the links are, for people and programs that ask.

use std::sync::atomic::Ordering;

use super::Peers;
use super::link::{In, Out, lock};
use super::message::Instance;
use super::shared::Shared;
use lvs_api::peers::{PeerState, PeerStatus, PeersStatus, Taken};

impl Peers {
    /// All links.
    pub fn status(&self) -> PeersStatus {
        let shared = &self.shared;
        let mut peers: Vec<_> = shared.outs.iter().map(|out| shared.of_out(out)).collect();
        let dialled: Vec<_> = peers
            .iter()
            .filter_map(|peer| peer.instance.clone())
            .collect();
        let others: Vec<_> = lock(&shared.ins).values().cloned().collect();
        let others = others
            .iter()
            .filter(|other| !dialled.contains(&other.instance.to_string()));
        peers.extend(others.map(|other| shared.of_in(other)));
        PeersStatus {
            instance: Some(shared.instance.to_string()),
            listening: Some(self.listening().to_string()),
            peers,
            refused: shared.refusals.list(),
            lost_events: shared.lost_events.load(Ordering::Relaxed),
        }
    }

    /// Whether a director and this one know each other's connections.
    pub fn in_step(&self, instance: Instance) -> bool {
        let out = self.shared.outs.iter().find(|out| {
            let state = lock(&out.state);
            state.instance == Some(instance)
        });
        out.is_some_and(|out| self.shared.of_out(out).state == PeerState::InStep)
    }
}

impl Shared {
    /// Of a director that is dialled.
    fn of_out(&self, out: &Out) -> PeerStatus {
        let (instance, itself, mut problem, since, told) = {
            let state = lock(&out.state);
            let told = state.told.clone();
            let problem = state.problem.clone();
            (state.instance, state.itself, problem, state.since, told)
        };
        if itself {
            return PeerStatus {
                address: out.address.clone(),
                instance: Some(self.instance.to_string()),
                role: Some(*self.role.borrow()),
                state: PeerState::Itself,
                since,
                problem: None,
                told: None,
                taken: None,
            };
        }
        let other = instance.and_then(|instance| lock(&self.ins).get(&instance).cloned());
        let other = other.map(|other| of(&other));
        let followed = out.scans.borrow().0 > 0;
        let (taken, complete, later) = other
            .map_or((None, false, 0), |(taken, complete, since)| {
                (Some(taken), complete, since)
            });
        let hears = taken.as_ref().is_some_and(|taken| taken.connected);
        let state = match (told.connected && hears, followed && complete) {
            (false, _) => PeerState::Away,
            (true, false) => PeerState::CatchingUp,
            (true, true) => PeerState::InStep,
        };
        if told.connected && !hears {
            problem = Some("it does not dial this director: is it one of its peers?".to_owned());
        }
        PeerStatus {
            address: out.address.clone(),
            instance: instance.map(|instance| instance.to_string()),
            role: instance.and_then(|instance| lock(&self.roles).get(&instance).copied()),
            state,
            since: since.max(later),
            problem,
            told: Some(told),
            taken,
        }
    }

    /// Of a director that dials and is not dialled.
    fn of_in(&self, other: &In) -> PeerStatus {
        let (taken, complete, since) = of(other);
        PeerStatus {
            address: lock(&other.state).address.clone(),
            instance: Some(other.instance.to_string()),
            role: lock(&self.roles).get(&other.instance).copied(),
            state: match (taken.connected, complete) {
                (false, _) => PeerState::Away,
                (true, false) => PeerState::CatchingUp,
                (true, true) => PeerState::InStep,
            },
            since,
            problem: None,
            told: None,
            taken: Some(taken),
        }
    }
}

/// What a peer tells, whether that is everything, and since when it is so.
fn of(other: &In) -> (Taken, bool, u64) {
    let state = lock(&other.state);
    let taken = Taken {
        discarded: other.discarded.list(),
        ..state.taken.clone()
    };
    (taken, state.complete, state.since)
}
