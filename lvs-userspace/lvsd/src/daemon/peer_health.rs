//! State and overrides of real servers, from the master to its backups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::role::Role;
use lvs_health::ServerView;
use lvs_health::controller::Handle;
use lvs_replication::peer::{Event, Instance, Message};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::control::Control;

/// Interval at which a master compares the state with what it sent last.
const LOOK: Duration = Duration::from_millis(500);
/// Interval at which it sends everything, changed or not.
const REPEAT: Duration = Duration::from_secs(10);
/// Servers in one message, far below its longest length.
const BATCH: usize = 200;

/// Sends to the backups as master, and follows the master as backup, until the sessions with peers end.
pub(super) async fn exchange(control: Arc<Control>, mut events: broadcast::Receiver<Event>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut roles = control.roles().follow();
    let mut sent = Sent::default();
    // The master that is followed.
    let mut master: Option<Instance> = None;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                // A new peer has received nothing yet.
                Ok(Event::Joined(_)) => sent = Sent::default(),
                Ok(Event::Left(left)) if master == Some(left) => {
                    info!("the master is gone: real servers are probed here");
                    unfollow(&control, &mut master);
                }
                Ok(Event::Received(from, Message::Health(value))) => {
                    let Some(controller) = master_to_follow(&control, from) else { continue };
                    match serde_json::from_value::<Vec<ServerView>>(value) {
                        Ok(views) => {
                            if master.replace(from) != Some(from) {
                                info!("real servers are as {from} sees them");
                            }
                            controller.mirror(views);
                        }
                        Err(error) => warn!("{from} tells of real servers what makes no sense: {error}"),
                    }
                }
                Ok(Event::Received(from, Message::Role(Role::Backup))) if master == Some(from) => {
                    unfollow(&control, &mut master);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = roles.changed() => {
                if changed.is_err() {
                    return;
                }
                sent = Sent::default();
                unfollow(&control, &mut master);
            }
            _ = look.tick() => publish(&control, &mut sent).await,
        }
    }
}

/// The controller, if a peer is master and this director is a backup that follows it.
fn master_to_follow(control: &Control, from: Instance) -> Option<&Handle> {
    let ours = control.roles().current();
    let theirs = control.peers()?.connected();
    let follows = ours == Role::Backup && theirs.contains(&(from, Role::Master));
    control.controller().filter(|_| follows)
}

fn unfollow(control: &Control, master: &mut Option<Instance>) {
    if let (Some(_), Some(controller)) = (master.take(), control.controller()) {
        controller.unmirror();
    }
}

/// The state that backups received last, and when.
#[derive(Default)]
struct Sent {
    views: Vec<ServerView>,
    at: Option<Instant>,
}

async fn publish(control: &Control, sent: &mut Sent) {
    if control.roles().current() != Role::Master {
        return;
    }
    let (Some(controller), Some(peers)) = (control.controller(), control.peers()) else {
        return;
    };
    let connected = peers.connected();
    let backups = connected.iter().filter(|(_, role)| *role == Role::Backup);
    let backups: Vec<_> = backups.map(|(instance, _)| *instance).collect();
    if backups.is_empty() {
        return;
    }
    let views = controller.views().await;
    let recently = sent.at.is_some_and(|at| at.elapsed() < REPEAT);
    if recently && views == sent.views {
        return;
    }
    let mut whole = true;
    for some in views.chunks(BATCH) {
        let Ok(value) = serde_json::to_value(some) else {
            continue;
        };
        let message = Message::Health(value);
        // A backup that cannot be reached now gets it the next time.
        whole &= backups
            .iter()
            .all(|backup| peers.send(*backup, &message).is_ok());
    }
    *sent = Sent {
        views: if whole { views } else { Vec::new() },
        at: whole.then(Instant::now),
    };
}
