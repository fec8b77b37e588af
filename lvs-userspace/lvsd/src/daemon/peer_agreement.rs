//! The task that sends the peers what this director has, and receives what they have, to compare both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_replication::peer::{Event, Instance, Message, Peers};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::agreement::{Part, Summary, parts};
use crate::control::{Control, refresh_agreement};

/// Interval at which this director's configuration is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Interval at which everything is sent again, changed or not.
const REPEAT: Duration = Duration::from_secs(10);

/// The state from one look to the next.
#[derive(Default)]
struct Exchange {
    /// The summary that each peer was sent last, and the time of it.
    sent: BTreeMap<Instance, (Summary, Instant)>,
    /// The digest of the lines that each peer was sent.
    lines: BTreeMap<Instance, String>,
    /// Differences that were logged.
    logged: BTreeMap<Instance, Vec<String>>,
}

/// Compares this director with its peers until the sessions with them end.
pub(super) async fn exchange(control: Arc<Control>, mut events: broadcast::Receiver<Event>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut exchange = Exchange::default();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Joined(peer)) => {
                    exchange.forget(peer);
                    look.reset_immediately();
                }
                Ok(Event::Left(peer)) => {
                    control.agreement().left(peer, Instant::now());
                    exchange.forget(peer);
                    exchange.logged.remove(&peer);
                }
                Ok(Event::Received(from, Message::Agreement(value))) => {
                    receive(&control, from, value);
                    exchange.send_lines(&control, from);
                    exchange.log(&control, from);
                }
                // What was missed is sent again.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = look.tick() => exchange.look(&control).await,
        }
    }
}

fn receive(control: &Control, from: Instance, value: Value) {
    match serde_json::from_value::<Part>(value) {
        Ok(part) => control.agreement().received(from, part, Instant::now()),
        Err(error) => {
            warn!("{from} tells what makes no sense about its configuration: {error}");
        }
    }
}

/// Sends a part. False: it is not sent.
fn send(peers: &Peers, to: Instance, part: Part) -> bool {
    let Ok(value) = serde_json::to_value(part) else {
        return false;
    };
    let sent = peers.send(to, &Message::Agreement(value));
    sent.is_ok()
}

impl Exchange {
    async fn look(&mut self, control: &Arc<Control>) {
        let Some(peers) = control.peers() else { return };
        refresh_agreement(control).await;
        for (peer, _) in peers.connected() {
            let summary = control.agreement().summary(peer, peers.not_taken(peer));
            let last = self.sent.get(&peer);
            let known = last.is_some_and(|(sent, at)| *sent == summary && at.elapsed() < REPEAT);
            if !known && send(peers, peer, Part::Summary(summary.clone())) {
                self.sent.insert(peer, (summary, Instant::now()));
            }
            self.send_lines(control, peer);
            self.log(control, peer);
        }
    }

    /// Sends a peer that has other lines those of this director, once.
    fn send_lines(&mut self, control: &Control, peer: Instance) {
        let Some(peers) = control.peers() else { return };
        let agreement = control.agreement();
        let own = agreement.own();
        let differs = agreement.comparison(peer, 0).is_some_and(|it| it.differs);
        if !differs || self.lines.get(&peer) == Some(&own.digest) {
            return;
        }
        let mut parts = parts(&own.digest, own.lines.iter()).into_iter();
        if parts.all(|lines| send(peers, peer, Part::Lines(lines))) {
            self.lines.insert(peer, own.digest.clone());
        }
    }

    /// A peer was sent nothing yet.
    fn forget(&mut self, peer: Instance) {
        self.sent.remove(&peer);
        self.lines.remove(&peer);
    }

    /// Logs how a peer and this director differ, unless that is known.
    fn log(&mut self, control: &Control, peer: Instance) {
        let Some(peers) = control.peers() else { return };
        let comparison = control.agreement().comparison(peer, peers.not_taken(peer));
        let Some(comparison) = comparison else { return };
        // Which lines differ is on its way; how many connections are lacking is in the status.
        if comparison.differs && comparison.only_here.is_empty() && comparison.only_there.is_empty()
        {
            return;
        }
        let sentences = comparison.sentences();
        let sentences: Vec<_> = sentences
            .into_iter()
            .take(usize::from(comparison.differs))
            .collect();
        let before = self.logged.insert(peer, sentences.clone());
        if before.as_ref() == Some(&sentences) {
            return;
        }
        for sentence in &sentences {
            warn!("{peer}: {sentence}");
        }
        if sentences.is_empty() && before.is_some_and(|before| !before.is_empty()) {
            info!("{peer}: its configuration is this director's again");
        }
    }
}
