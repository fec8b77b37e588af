//! `sync status`.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use lvs_api::client::Client;
use lvs_api::peers::{BulkSync, PeerReceived, PeerSent, PeerState, PeerStatus, PeersStatus};
use lvs_api::sync::{DiscardCount, SyncStatus};
use serde::Serialize;

use super::COMPARES;
use crate::verbs::failure::Failure;

/// Status of both transports, as JSON.
#[derive(Serialize)]
struct Whole {
    peers: PeersStatus,
    sync: SyncStatus,
}

/// `sync status`.
pub(in crate::verbs) async fn status(
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
        "  sent      {connections} connections, lag {lag_frames} frames ({lag_ms} ms), {losses} losses, \
         asked again {missing} times"
    )?;
    print_bulk(out, sent.bulk)
}

fn print_received(out: &mut impl Write, received: &PeerReceived) -> io::Result<()> {
    let (connections, losses) = (received.connections, received.losses);
    writeln!(
        out,
        "  received  {connections} connections, {losses} losses"
    )?;
    print_bulk(out, received.bulk)?;
    print_discarded(out, &received.discarded)
}

fn print_bulk(out: &mut impl Write, bulk: Option<BulkSync>) -> io::Result<()> {
    match bulk {
        None => writeln!(out, "            never all"),
        Some(bulk) => {
            let (connections, ms, at) = (bulk.connections, bulk.took_ms, ago(bulk.age));
            writeln!(out, "            all: {connections} in {ms} ms, {at} ago")
        }
    }
}

fn print_discarded(out: &mut impl Write, discarded: &[DiscardCount]) -> io::Result<()> {
    for it in discarded {
        let (count, why) = (it.count, &it.explanation);
        writeln!(
            out,
            "            discarded {count} times ({}): {why}",
            it.name
        )?;
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
        "  sent      {} connections in {} messages, {} not sent, {} events lost, {} scans",
        sent.entries, sent.messages, sent.failed, sent.lost_events, sent.scans
    )?;
    writeln!(
        out,
        "  received  {} connections in {} messages, {} lost for want of room",
        received.entries, received.messages, received.overflowed
    )?;
    if received.unbound > 0 {
        let unbound = received.unbound;
        writeln!(out, "            {unbound} wait for their real server")?;
    }
    print_discarded(out, &received.discarded)
}

/// Seconds, for people.
fn ago(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use lvs_api::peers::RefusalCount;
    use lvs_api::sync::{SyncReceived, SyncSent};

    use super::super::sample::peer;
    use super::*;

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
  sent      1000 connections, lag 2 frames (3 ms), 0 losses, asked again 0 times
            never all
  received  20 connections, 0 losses
            all: 19 in 12 ms, 30s ago
            discarded 3 times (no-service): there is no such virtual service here
refused 10.3.0.9 (key): it has another key; 2 times since 1970-01-01T00:15:00Z, last 20s ago
"
        );
    }
}
