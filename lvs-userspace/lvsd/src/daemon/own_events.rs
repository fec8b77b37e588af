//! Events of the director itself: its role, its peers, address conflicts, interfaces and frames that were lost.
//!
//! They are differences between two states, as they are also shown by `lvsadm status`, `sync status` and `--status`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::health::Event;
use lvs_api::peers::{PeerState, PeersStatus};
use lvs_api::role::{Role, RoleStatus};
use lvs_dataplane::neighbour::Interfaces as LinkTable;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use super::stop::ended;
use crate::control::Control;

/// From one look to the next. A role is looked at as it changes.
const PERIOD: Duration = Duration::from_millis(500);

/// Time without something that goes on (refusals, lost frames), after which it is an event again.
const REST: Duration = Duration::from_mins(1);

/// Publishes events of the director itself until the end.
pub(super) async fn follow(
    control: Arc<Control>,
    links: watch::Receiver<Arc<LinkTable>>,
    stopped: watch::Receiver<()>,
) {
    let mut role = control.roles().follow();
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut end = std::pin::pin!(ended(stopped));
    let mut before: Option<Observed> = None;
    let mut repeated = Repeated::default();
    loop {
        tokio::select! {
            () = &mut end => return,
            _ = timer.tick() => {}
            changed = role.changed() => if changed.is_err() { return },
        }
        let (from, links) = (Arc::clone(&control), links.borrow().clone());
        let observed = tokio::task::spawn_blocking(move || Observed::of(&from, &links)).await;
        let observed = match observed {
            Ok(observed) => observed,
            Err(error) => return error!("the director's own events are not published: {error}"),
        };
        let changes = before
            .as_ref()
            .map(|before| before.changes(&observed, &mut repeated, Instant::now()));
        for change in changes.into_iter().flatten() {
            control.publish(Arc::new(change));
        }
        before = Some(observed);
    }
}

/// State of the director.
#[derive(Clone, Debug, Default)]
struct Observed {
    role: Role,
    peers: BTreeMap<String, Peer>,
    /// Refused sessions by address and reason.
    refused: BTreeMap<(String, String), Count>,
    /// Other hosts' Ethernet addresses by virtual address.
    conflicts: BTreeMap<String, String>,
    /// Place of the program and its reason by interface.
    modes: BTreeMap<String, (String, String)>,
    /// True for interfaces that can send.
    links: BTreeMap<String, bool>,
    /// Frames that were not sent by interface and error.
    lost: BTreeMap<(String, String), Count>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    connected: bool,
    problem: Option<String>,
    differences: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    number: u64,
    explanation: String,
}

/// Times of what goes on.
type Repeated = BTreeMap<(&'static str, String, String), Instant>;

impl Observed {
    fn of(control: &Control, links: &LinkTable) -> Self {
        let (interfaces, lost) = control.interfaces();
        let modes: BTreeMap<_, _> = interfaces
            .into_iter()
            .map(|interface| (interface.name, (interface.mode, interface.why)))
            .collect();
        let links = links
            .values()
            .filter(|link| modes.contains_key(&link.name))
            .map(|link| (link.name.clone(), link.can_send()))
            .collect();
        let lost = lost.into_iter().map(|lost| {
            let count = Count {
                number: lost.frames,
                explanation: lost.remedy,
            };
            ((lost.interface, lost.error), count)
        });
        let mut observed = Self {
            modes,
            links,
            lost: lost.collect(),
            ..Self::default()
        };
        observed.add_role(control.roles().status());
        observed.add_peers(control.peers_status());
        observed
    }

    fn add_role(&mut self, status: RoleStatus) {
        self.role = status.role;
        let conflicts = status.addresses.into_iter().filter_map(|address| {
            let other = address.duplicate?;
            Some((address.address.to_string(), other))
        });
        self.conflicts.extend(conflicts);
    }

    fn add_peers(&mut self, status: PeersStatus) {
        for peer in status.peers {
            if peer.state == PeerState::Itself {
                continue;
            }
            let comparison = peer.comparison.unwrap_or_default();
            let state = Peer {
                connected: peer.state != PeerState::Away,
                problem: peer.problem,
                differences: comparison.sentences(),
            };
            self.peers.insert(peer.address, state);
        }
        for refused in status.refused {
            let count = Count {
                number: refused.count,
                explanation: refused.explanation,
            };
            self.refused.insert((refused.address, refused.name), count);
        }
    }

    /// The events that lead from this state to a later one.
    fn changes(&self, later: &Self, repeated: &mut Repeated, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        if self.role != later.role {
            let text = format!("the director is {}", later.role);
            events.push(Event::of_director(
                later.role.name(),
                None,
                "its role changed",
                text,
            ));
        }
        self.peer_changes(later, &mut events);
        self.address_changes(later, &mut events);
        self.interface_changes(later, &mut events);
        repeated.retain(|_, last| now.saturating_duration_since(*last) < REST);
        let mut grown =
            |kind: &'static str, key: &(String, String), count: u64, known: Option<&Count>| {
                if count <= known.map_or(0, |known| known.number) {
                    return false;
                }
                let key = (kind, key.0.clone(), key.1.clone());
                let last = repeated.insert(key, now);
                last.is_none_or(|last| now.saturating_duration_since(last) >= REST)
            };
        for (key, count) in &later.refused {
            if grown("peer-refused", key, count.number, self.refused.get(key)) {
                let (address, name) = key;
                let text = format!(
                    "the session with {address} is refused: {}",
                    count.explanation
                );
                events.push(Event::of_director(
                    "peer-refused",
                    Some(address),
                    name,
                    text,
                ));
            }
        }
        for (key, count) in &later.lost {
            if grown("frames-lost", key, count.number, self.lost.get(key)) {
                let (name, error) = key;
                let noun = if count.number == 1 { "frame" } else { "frames" };
                let text = format!(
                    "{name} did not send {} {noun}: {error}. {}",
                    count.number, count.explanation
                );
                events.push(Event::of_director(
                    "frames-lost",
                    Some(name),
                    error,
                    text.trim().to_owned(),
                ));
            }
        }
        events
    }

    fn address_changes(&self, later: &Self, events: &mut Vec<Event>) {
        for (address, other) in &later.conflicts {
            if self.conflicts.get(address) != Some(other) {
                let text = format!("another host holds {address}, too: {other}");
                events.push(Event::of_director(
                    "address-conflict",
                    Some(address),
                    &text,
                    text.clone(),
                ));
            }
        }
        for address in self
            .conflicts
            .keys()
            .filter(|a| !later.conflicts.contains_key(*a))
        {
            let text = format!("no other host holds {address} any more");
            events.push(Event::of_director(
                "address-conflict-over",
                Some(address),
                &text,
                text.clone(),
            ));
        }
    }

    fn interface_changes(&self, later: &Self, events: &mut Vec<Event>) {
        for (name, (mode, why)) in &later.modes {
            let known = self.modes.get(name);
            if known.is_none_or(|(known, _)| known != mode) {
                let text = format!("the program runs on {name} in the mode {mode}");
                events.push(Event::of_director("interface-mode", Some(name), why, text));
            }
        }
        for name in self
            .modes
            .keys()
            .filter(|name| !later.modes.contains_key(*name))
        {
            let text = format!("the program does not run on {name} any more");
            events.push(Event::of_director(
                "interface-mode",
                Some(name),
                "the interface is gone",
                text,
            ));
        }
        for (name, up) in &later.links {
            if self.links.get(name).is_some_and(|known| known != up) {
                let (kind, state) = if *up {
                    ("link-up", "up")
                } else {
                    ("link-down", "down")
                };
                let text = format!("the link of {name} is {state}");
                events.push(Event::of_director(kind, Some(name), &text, text.clone()));
            }
        }
    }

    fn peer_changes(&self, later: &Self, events: &mut Vec<Event>) {
        for (address, peer) in &later.peers {
            let known = self.peers.get(address);
            if peer.connected && !known.is_some_and(|known| known.connected) {
                let text = format!("the peer {address} is connected");
                events.push(Event::of_director(
                    "peer-connected",
                    Some(address),
                    &text,
                    text.clone(),
                ));
            }
            if !peer.connected && known.is_some_and(|known| known.connected) {
                let why = peer.problem.as_deref().unwrap_or("the session ended");
                let text = format!("the peer {address} is lost: {why}");
                events.push(Event::of_director("peer-lost", Some(address), why, text));
            }
            let differed = known.is_some_and(|known| !known.differences.is_empty());
            if !peer.differences.is_empty() && !differed {
                let why = peer.differences.join("; ");
                let text = format!("the peer {address} differs: {why}");
                events.push(Event::of_director(
                    "peer-differs",
                    Some(address),
                    &why,
                    text,
                ));
            }
            if peer.differences.is_empty() && differed && peer.connected {
                let text = format!("the peer {address} does not differ any more");
                events.push(Event::of_director(
                    "peer-agrees",
                    Some(address),
                    &text,
                    text.clone(),
                ));
            }
        }
        let gone = self
            .peers
            .iter()
            .filter(|(address, _)| !later.peers.contains_key(*address));
        for (address, _) in gone.filter(|(_, peer)| peer.connected) {
            let text = format!("the peer {address} is lost: it is gone");
            events.push(Event::of_director(
                "peer-lost",
                Some(address),
                "it is gone",
                text,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(before: &Observed, later: &Observed) -> Vec<String> {
        let changes = before.changes(later, &mut Repeated::new(), Instant::now());
        let name = |event: Event| match event.subject {
            Some(subject) => format!("{} {subject}", event.event),
            None => event.event,
        };
        changes.into_iter().map(name).collect()
    }

    #[test]
    fn each_change_is_an_event_in_both_directions() {
        let quiet = Observed {
            role: Role::Backup,
            links: BTreeMap::from([("eth0".to_owned(), true)]),
            modes: BTreeMap::from([("eth0".to_owned(), ("native".to_owned(), String::new()))]),
            ..Observed::default()
        };
        let peer = |connected, differences: &[&str]| Peer {
            connected,
            problem: None,
            differences: differences.iter().map(|&text| text.to_owned()).collect(),
        };
        let mut later = quiet.clone();
        later.role = Role::Master;
        later
            .peers
            .insert("10.0.0.2".to_owned(), peer(true, &["its timeouts differ"]));
        later.conflicts.insert(
            "10.0.0.9/32@eth0".to_owned(),
            "02:00:00:00:00:01".to_owned(),
        );
        later.links.insert("eth0".to_owned(), false);
        later
            .modes
            .insert("eth0".to_owned(), ("tc".to_owned(), "it cannot".to_owned()));
        assert_eq!(
            kinds(&quiet, &later),
            [
                "master",
                "peer-connected 10.0.0.2",
                "peer-differs 10.0.0.2",
                "address-conflict 10.0.0.9/32@eth0",
                "interface-mode eth0",
                "link-down eth0"
            ]
        );
        assert_eq!(kinds(&later, &later), [""; 0]);
        let mut agreed = later.clone();
        agreed.peers.insert("10.0.0.2".to_owned(), peer(true, &[]));
        assert_eq!(kinds(&later, &agreed), ["peer-agrees 10.0.0.2"]);
        let mut lost = quiet.clone();
        lost.peers.insert("10.0.0.2".to_owned(), peer(false, &[]));
        assert_eq!(
            kinds(&agreed, &lost),
            [
                "backup",
                "peer-lost 10.0.0.2",
                "address-conflict-over 10.0.0.9/32@eth0",
                "interface-mode eth0",
                "link-up eth0"
            ]
        );
    }

    #[test]
    fn what_goes_on_is_an_event_once() {
        let key = ("eth0".to_owned(), "no room".to_owned());
        let state = |number| Observed {
            lost: BTreeMap::from([(
                key.clone(),
                Count {
                    number,
                    explanation: String::new(),
                },
            )]),
            ..Observed::default()
        };
        let (mut repeated, begin) = (Repeated::new(), Instant::now());
        let mut events = |from, to, seconds| {
            let now = begin + Duration::from_secs(seconds);
            state(from).changes(&state(to), &mut repeated, now).len()
        };
        assert_eq!(events(0, 1, 0), 1);
        assert_eq!(events(1, 1, 1), 0);
        assert_eq!(events(1, 2, 50), 0);
        assert_eq!(events(2, 3, 100), 0);
        assert_eq!(events(3, 3, 200), 0);
        assert_eq!(events(3, 4, 300), 1);
    }
}
