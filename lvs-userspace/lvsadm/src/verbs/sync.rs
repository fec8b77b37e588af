//! `sync`: connection replication, shown and awaited.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant, UNIX_EPOCH};

use lvs_api::client::Client;
use lvs_api::peers::{BulkSync, PeerReceived, PeerSent, PeerState, PeerStatus, PeersStatus};
use lvs_api::sync::{DiscardCount, SyncStatus};
use serde::Serialize;

use super::failure::Failure;
use super::progress::ProgressLine;

/// Exit code: not in step at the deadline.
const BEHIND: u8 = 1;
/// Seconds in which a peer that is there connects: as lvsd starts, and after a connection broke.
const COMES_BACK: u64 = 5;
/// The version of the protocol from which on peers tell what they have.
const COMPARES: u16 = 4;
/// From one look at the status to the next.
const PERIOD: Duration = Duration::from_millis(100);

/// Status of both transports, as JSON.
#[derive(Serialize)]
struct Whole {
    peers: PeersStatus,
    sync: SyncStatus,
}

/// `sync status`.
pub(super) async fn status(
    client: &mut Client,
    out: &mut impl Write,
    json: bool,
) -> Result<(), Failure> {
    let whole = Whole {
        peers: client.peers().await?,
        sync: client.sync().await?,
    };
    if json {
        serde_json::to_writer_pretty(&mut *out, &whole).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(out, &whole)?;
    }
    Ok(())
}

/// The peers that are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Every peer.
    InStep,
    /// Every peer but those that went away.
    Takeover,
}

/// `sync wait`: returns when this director and all its peers are in step; the exit code.
pub(super) async fn wait(
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

/// How peers differ from this director, a sentence each with the peer's address.
pub(super) fn differences(peers: &[PeerStatus]) -> Vec<String> {
    let mut sentences = Vec::new();
    for peer in peers {
        let address = &peer.address;
        if peer.state != PeerState::Away
            && let Some(comparison) = &peer.comparison
        {
            let all = comparison.sentences().into_iter();
            sentences.extend(all.map(|sentence| format!("peer {address}: {sentence}")));
        }
        let one_sided = peer.sent.as_ref().is_some_and(|it| it.connected)
            != peer.received.as_ref().is_some_and(|it| it.connected);
        if one_sided && let Some(problem) = &peer.problem {
            sentences.push(format!("peer {address}: {problem}"));
        }
    }
    sentences
}

/// Describes peers that are still waited for.
pub(super) fn behind(peers: &[PeerStatus], awaited: Awaited) -> Option<String> {
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

/// How a peer that has all connections that it takes differs, if it does.
fn differing(peer: &PeerStatus) -> Option<String> {
    let address = &peer.address;
    let Some(comparison) = &peer.comparison else {
        // A peer of an older version sends nothing to compare.
        let compares = peer.version.is_some_and(|it| it >= COMPARES);
        return compares.then(|| format!("{address} has not told yet what it has"));
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

fn print(out: &mut impl Write, whole: &Whole) -> io::Result<()> {
    let peers = &whole.peers;
    match (&peers.instance, &peers.listening) {
        (Some(instance), Some(listening)) => {
            writeln!(out, "director {instance}, peers may connect to {listening}")?;
        }
        _ => writeln!(out, "no links to peers (lvsd --peer)")?,
    }
    for peer in &peers.peers {
        print_peer(out, peer)?;
    }
    for refusal in &peers.refused {
        let (address, why) = (&refusal.address, &refusal.explanation);
        let (name, count, last) = (&refusal.name, refusal.count, ago(refusal.last_age));
        let since =
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(refusal.since));
        writeln!(
            out,
            "refused {address} ({name}): {why}; {count} times since {since}, last {last} ago"
        )?;
    }
    if peers.lost_events > 0 {
        let lost = peers.lost_events;
        writeln!(
            out,
            "{lost} events of the data path did not fit: scans made up for them"
        )?;
    }
    print_daemons(out, &whole.sync)
}

fn print_peer(out: &mut impl Write, peer: &PeerStatus) -> io::Result<()> {
    let role = peer.role.map_or("role unknown", |role| role.name());
    let (address, state, since) = (&peer.address, peer.state.name(), ago(peer.age));
    writeln!(out, "\npeer {address} ({role}): {state} since {since}")?;
    if let Some(problem) = &peer.problem {
        writeln!(out, "  {problem}")?;
    }
    if peer.state != PeerState::Away
        && let Some(comparison) = &peer.comparison
    {
        for sentence in comparison.sentences() {
            writeln!(out, "  {sentence}")?;
        }
    }
    if let Some(version) = peer.version.filter(|it| *it < COMPARES) {
        writeln!(
            out,
            "  it speaks version {version} of the protocol, without a comparison of what it has"
        )?;
    }
    if let Some(sent) = &peer.sent {
        print_sent(out, sent)?;
    }
    if let Some(received) = &peer.received {
        print_received(out, received)?;
    }
    Ok(())
}

fn print_sent(out: &mut impl Write, sent: &PeerSent) -> io::Result<()> {
    let PeerSent {
        connections,
        lag_frames,
        lag_ms,
        losses,
        missing,
        ..
    } = sent;
    writeln!(
        out,
        "  told   {connections} connections, lag {lag_frames} frames ({lag_ms} ms), {losses} losses, \
         asked again {missing} times"
    )?;
    print_bulk(out, sent.bulk)
}

fn print_received(out: &mut impl Write, received: &PeerReceived) -> io::Result<()> {
    let (connections, losses) = (received.connections, received.losses);
    writeln!(out, "  taken  {connections} connections, {losses} losses")?;
    print_bulk(out, received.bulk)?;
    print_discarded(out, &received.discarded)
}

fn print_bulk(out: &mut impl Write, bulk: Option<BulkSync>) -> io::Result<()> {
    match bulk {
        None => writeln!(out, "         never all"),
        Some(bulk) => {
            let (connections, ms, at) = (bulk.connections, bulk.took_ms, ago(bulk.age));
            writeln!(out, "         all: {connections} in {ms} ms, {at} ago")
        }
    }
}

fn print_discarded(out: &mut impl Write, discarded: &[DiscardCount]) -> io::Result<()> {
    for it in discarded {
        let (count, why) = (it.count, &it.explanation);
        writeln!(out, "         not taken {count} times ({}): {why}", it.name)?;
    }
    Ok(())
}

/// Prints the daemons of IPVS's protocol, and their counters.
fn print_daemons(out: &mut impl Write, sync: &SyncStatus) -> io::Result<()> {
    let (sent, received) = (&sync.sent, &sync.received);
    if sync.daemons.is_empty() && sent.messages + received.messages == 0 {
        return Ok(());
    }
    writeln!(out)?;
    for it in &sync.daemons {
        let (role, interface) = (it.daemon.role.name(), &it.daemon.interface);
        writeln!(
            out,
            "IPVS's protocol: {role} on {interface}, syncid {}",
            it.daemon.syncid
        )?;
        if let Some(problem) = &it.problem {
            writeln!(out, "  {problem}")?;
        }
    }
    writeln!(
        out,
        "  told   {} connections in {} messages, {} not sent, {} events lost, {} rounds",
        sent.entries, sent.messages, sent.failed, sent.lost_events, sent.rounds
    )?;
    writeln!(
        out,
        "  taken  {} connections in {} messages, {} lost for want of room",
        received.entries, received.messages, received.overflowed
    )?;
    if received.unbound > 0 {
        let unbound = received.unbound;
        writeln!(out, "         {unbound} wait for their real server")?;
    }
    print_discarded(out, &received.discarded)
}

/// Seconds, for people.
fn ago(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::peers::{Comparison, RefusalCount};
    use lvs_api::role::Role;
    use lvs_api::sync::{SyncReceived, SyncSent};

    fn peer(address: &str, state: PeerState) -> PeerStatus {
        PeerStatus {
            address: address.to_owned(),
            instance: Some("00000000000000aa".to_owned()),
            role: Some(Role::Backup),
            state,
            since: 940,
            age: 60,
            problem: None,
            version: Some(COMPARES),
            comparison: Some(Comparison::default()),
            sent: Some(PeerSent {
                connected: true,
                connections: 1_000,
                progress: 40,
                lag_frames: 2,
                lag_ms: 3,
                ..PeerSent::default()
            }),
            received: Some(PeerReceived {
                connected: true,
                connections: 20,
                progress: 100,
                bulk: Some(BulkSync {
                    at: 970,
                    age: 30,
                    connections: 19,
                    took_ms: 12,
                }),
                discarded: vec![DiscardCount {
                    name: "no-service".to_owned(),
                    count: 3,
                    explanation: "there is no such virtual service here".to_owned(),
                }],
                ..PeerReceived::default()
            }),
        }
    }

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

    #[test]
    fn peers_are_shown_with_refused_sessions() {
        let whole = Whole {
            peers: PeersStatus {
                instance: Some("00000000000000bb".to_owned()),
                listening: Some("[::]:8849".to_owned()),
                peers: vec![peer("10.3.0.2:8849", PeerState::InStep)],
                refused: vec![RefusalCount {
                    address: "10.3.0.9".to_owned(),
                    name: "key".to_owned(),
                    count: 2,
                    since: 900,
                    last: 980,
                    last_age: 20,
                    explanation: "it has another key".to_owned(),
                }],
                lost_events: 0,
            },
            sync: SyncStatus {
                daemons: Vec::new(),
                sent: SyncSent::default(),
                received: SyncReceived {
                    messages: 0,
                    entries: 0,
                    overflowed: 0,
                    unbound: 0,
                    discarded: Vec::new(),
                },
            },
        };
        let mut text = Vec::new();
        print(&mut text, &whole).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "\
director 00000000000000bb, peers may connect to [::]:8849

peer 10.3.0.2:8849 (backup): in step since 1m
  told   1000 connections, lag 2 frames (3 ms), 0 losses, asked again 0 times
         never all
  taken  20 connections, 0 losses
         all: 19 in 12 ms, 30s ago
         not taken 3 times (no-service): there is no such virtual service here
refused 10.3.0.9 (key): it has another key; 2 times since 1970-01-01T00:15:00Z, last 20s ago
"
        );
    }
}
