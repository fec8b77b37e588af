//! `sync wait`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use lvs_api::client::Client;
use lvs_api::peers::{PeerState, PeerStatus};

use super::COMPARES;
use crate::verbs::failure::Failure;
use crate::verbs::progress::ProgressLine;

/// Exit code: not in step at the deadline.
const BEHIND: u8 = 1;
/// Seconds in which a peer that is there connects: as lvsd starts, and after a connection broke.
const COMES_BACK: u64 = 5;
/// From one look at the status to the next.
const PERIOD: Duration = Duration::from_millis(100);

/// The peers that are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verbs) enum Awaited {
    /// Every peer.
    InStep,
    /// Every peer but those that went away.
    Takeover,
}

/// `sync wait`: returns when this director and all its peers are in step; the exit code.
pub(in crate::verbs) async fn wait(
    client: &mut Client,
    out: &mut impl Write,
    awaited: Awaited,
    limit: Duration,
    terminal: bool,
) -> Result<u8, Failure> {
    let began = Instant::now();
    let mut progress = ProgressLine::new(terminal);
    let mut scans = Scans::default();
    loop {
        let peers = client.peers().await?.peers;
        let mut behind = behind(&peers, awaited);
        if behind.is_none() && awaited == Awaited::InStep {
            behind = scans.behind(&peers);
        }
        let over = began.elapsed() >= limit;
        let line = match (&behind, over) {
            (None, _) => in_step(&peers),
            (Some(behind), false) => behind.clone(),
            (Some(behind), true) => {
                let limit = humantime::format_duration(limit);
                format!("not in step after {limit}: {behind}")
            }
        };
        progress.show(out, line)?;
        if behind.is_none() || over {
            progress.end(out)?;
            return Ok(if behind.is_none() { 0 } else { BEHIND });
        }
        let rest = limit.saturating_sub(began.elapsed());
        tokio::time::sleep(PERIOD.min(rest)).await;
    }
}

/// The scans of each peer when it was first seen to be in step. What began before the wait is known on both sides
/// after the next ones.
#[derive(Default)]
struct Scans(BTreeMap<String, (u32, u32)>);

impl Scans {
    /// Describes peers whose next scans are waited for.
    fn behind(&mut self, peers: &[PeerStatus]) -> Option<String> {
        let mut behind = Vec::new();
        for peer in peers {
            let (Some(sent), Some(received)) = (&peer.sent, &peer.received) else {
                continue;
            };
            let numbers = (sent.scan_begun, received.scan_applied);
            let first = *self.0.entry(peer.address.clone()).or_insert(numbers);
            // Of two scans of the peer's that end from now on the second has begun by now.
            let over = sent.scan_applied > first.0 && received.scan_applied >= first.1 + 2;
            // A new session counts anew.
            let anew = numbers.0 < first.0 || numbers.1 < first.1;
            if anew {
                self.0.insert(peer.address.clone(), numbers);
            }
            if anew || !over {
                behind.push(peer.address.as_str());
            }
        }
        let text = || format!("all connections are compared with {}", behind.join(", "));
        (!behind.is_empty()).then(text)
    }
}

/// Describes peers that are still waited for.
pub(in crate::verbs) fn behind(peers: &[PeerStatus], awaited: Awaited) -> Option<String> {
    let gone = |peer: &PeerStatus| {
        let sent_all = peer.received.as_ref().is_some_and(|it| it.bulk.is_some());
        let for_long = peer.age >= COMES_BACK;
        awaited == Awaited::Takeover && (sent_all || for_long)
    };
    let behind = peers.iter().filter_map(|peer| match peer.state {
        PeerState::Itself => None,
        PeerState::InStep => differing(peer).filter(|_| awaited == Awaited::InStep),
        PeerState::CatchingUp => {
            let sent = peer.sent.as_ref().map_or(100, |sent| sent.progress);
            let received = peer
                .received
                .as_ref()
                .map_or(0, |received| received.progress);
            let (address, done) = (&peer.address, sent.min(received));
            Some(format!("{address} is catching up ({done} %)"))
        }
        PeerState::Away if gone(peer) => None,
        PeerState::Away => {
            let why = peer.problem.as_deref().unwrap_or("not connected yet");
            Some(format!("{} is away ({why})", peer.address))
        }
    });
    let behind: Vec<_> = behind.collect();
    (!behind.is_empty()).then(|| behind.join("; "))
}

/// The difference of a peer that has all connections that it takes, if there is one.
fn differing(peer: &PeerStatus) -> Option<String> {
    let address = &peer.address;
    let Some(comparison) = &peer.comparison else {
        // A peer of an older version sends nothing to compare.
        let compares = peer.version.is_some_and(|it| it >= COMPARES);
        return compares.then(|| format!("{address} has not sent yet what it has"));
    };
    let sentences = comparison.sentences();
    (!sentences.is_empty()).then(|| format!("{address} differs: {}", sentences.join("; ")))
}

fn in_step(peers: &[PeerStatus]) -> String {
    let count = |peer: &PeerStatus| {
        peer.received
            .as_ref()
            .map_or(0, |received| received.connections)
    };
    let others = peers.iter().filter(|peer| peer.state != PeerState::Itself);
    let near = others.clone().filter(|peer| peer.state != PeerState::Away);
    match others.clone().count() {
        0 => "this director has no peers".to_owned(),
        number => {
            let near = near.count();
            let held: u64 = others.map(count).sum();
            format!("in step with {near} of {number} peers, whose {held} connections are here")
        }
    }
}

#[cfg(test)]
mod tests {
    use lvs_api::peers::Comparison;

    use super::super::differences;
    use super::super::sample::peer;
    use super::*;

    #[test]
    fn peers_that_are_waited_for_are_named() {
        let away = PeerStatus {
            problem: Some("it does not answer".to_owned()),
            age: 1,
            ..peer("b:8849", PeerState::Away)
        };
        let all = [
            peer("a:8849", PeerState::InStep),
            away,
            peer("c:8849", PeerState::CatchingUp),
            peer("d:8849", PeerState::Itself),
        ];
        assert_eq!(
            behind(&all, Awaited::InStep).unwrap(),
            "b:8849 is away (it does not answer); c:8849 is catching up (40 %)"
        );
        assert_eq!(behind(&all[..1], Awaited::InStep), None);
        // A takeover does not wait for peers that are away, only for those that are there.
        assert_eq!(behind(&all[..2], Awaited::Takeover), None);
        assert!(behind(&all, Awaited::Takeover).is_some());
        // This director may have been started just now.
        let silent = |age| PeerStatus {
            received: None,
            age,
            ..all[1].clone()
        };
        assert!(behind(&[silent(4)], Awaited::Takeover).is_some());
        assert_eq!(behind(&[silent(5)], Awaited::Takeover), None);
        assert!(behind(&[silent(9_999)], Awaited::InStep).is_some());
        assert_eq!(
            in_step(&all[..1]),
            "in step with 1 of 1 peers, whose 20 connections are here"
        );
        assert_eq!(in_step(&all[3..]), "this director has no peers");
    }

    #[test]
    fn what_began_before_the_wait_is_compared_first() {
        let at = |begun, applied, received| {
            let mut peer = peer("a:8849", PeerState::InStep);
            let sent = peer.sent.as_mut().unwrap();
            (sent.scan_begun, sent.scan_applied) = (begun, applied);
            peer.received.as_mut().unwrap().scan_applied = received;
            [peer]
        };
        let mut scans = Scans::default();
        let text = "all connections are compared with a:8849";
        assert_eq!(scans.behind(&at(5, 4, 7)).unwrap(), text);
        for early in [at(5, 5, 9), at(6, 6, 8), at(6, 5, 9)] {
            assert!(scans.behind(&early).is_some());
        }
        assert_eq!(scans.behind(&at(6, 6, 9)), None);
        // Another session.
        assert!(scans.behind(&at(1, 0, 0)).is_some());
        assert!(scans.behind(&at(1, 1, 1)).is_some());
        assert_eq!(scans.behind(&at(2, 2, 2)), None);
    }

    #[test]
    fn a_peer_that_differs_is_not_in_step_and_is_no_obstacle_to_a_takeover() {
        let differing = PeerStatus {
            comparison: Some(Comparison {
                differs: true,
                only_here: vec!["-a x".to_owned()],
                not_taken_there: 7,
                ..Comparison::default()
            }),
            ..peer("a:8849", PeerState::InStep)
        };
        let all = [differing];
        let text = "a:8849 differs: its configuration differs: only here: `-a x'; \
                    7 connections are here only, for want of their real server or of room there";
        assert_eq!(behind(&all, Awaited::InStep).unwrap(), text);
        assert_eq!(behind(&all, Awaited::Takeover), None);
        assert_eq!(differences(&all).len(), 2);

        let unknown = |version| PeerStatus {
            comparison: None,
            version: Some(version),
            ..peer("a:8849", PeerState::InStep)
        };
        assert!(behind(&[unknown(4)], Awaited::InStep).is_some());
        assert_eq!(behind(&[unknown(3)], Awaited::InStep), None);
    }
}
