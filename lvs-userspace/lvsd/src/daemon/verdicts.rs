//! Verdicts and orders about real servers, from the master to its backups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::{info, warn};

use crate::control::server::Control;
use lvs_api::role::Role;
use lvs_health::controller::Handle;
use lvs_health::verdict::Verdict;
use lvs_replication::peer::{Event, Instance, Message};

/// How often a master looks whether there is anything new.
const LOOK: Duration = Duration::from_millis(500);
/// How often it tells all of it, whatever the others may have forgotten.
const REPEAT: Duration = Duration::from_secs(10);
/// Verdicts in a message, which is far below what one may be long.
const TOGETHER: usize = 200;

/// Tells the backups as master, and heeds the master as backup, until the links end.
pub(super) async fn exchange(control: Arc<Control>, mut events: broadcast::Receiver<Event>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut roles = control.roles().follow();
    let mut told = Told::default();
    // The master that is heeded.
    let mut master: Option<Instance> = None;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                // It knows nothing.
                Ok(Event::Joined(_)) => told = Told::default(),
                Ok(Event::Left(left)) if master == Some(left) => {
                    info!("the master is gone: real servers are probed here");
                    free(&control, &mut master);
                }
                Ok(Event::Received(from, Message::Health(value))) => {
                    let Some(controller) = heeds(&control, from) else { continue };
                    match serde_json::from_value::<Vec<Verdict>>(value) {
                        Ok(verdicts) => {
                            if master.replace(from) != Some(from) {
                                info!("real servers are as {from} sees them");
                            }
                            controller.dictate(verdicts);
                        }
                        Err(error) => warn!("{from} tells of real servers what makes no sense: {error}"),
                    }
                }
                Ok(Event::Received(from, Message::Role(Role::Backup))) if master == Some(from) => {
                    free(&control, &mut master);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            changed = roles.changed() => {
                if changed.is_err() {
                    return;
                }
                told = Told::default();
                free(&control, &mut master);
            }
            _ = look.tick() => tell(&control, &mut told).await,
        }
    }
}

/// The controller that is to heed a director, if that is master and this one is not.
fn heeds(control: &Control, from: Instance) -> Option<&Handle> {
    let ours = control.roles().current();
    let theirs = control.peers()?.connected();
    let obeys = ours == Role::Backup && theirs.contains(&(from, Role::Master));
    control.controller().filter(|_| obeys)
}

fn free(control: &Control, master: &mut Option<Instance>) {
    if let (Some(_), Some(controller)) = (master.take(), control.controller()) {
        controller.free();
    }
}

/// What the backups were told last, and when.
#[derive(Default)]
struct Told {
    verdicts: Vec<Verdict>,
    at: Option<Instant>,
}

async fn tell(control: &Control, told: &mut Told) {
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
    let verdicts = controller.verdicts().await;
    let recently = told.at.is_some_and(|at| at.elapsed() < REPEAT);
    if recently && verdicts == told.verdicts {
        return;
    }
    let mut whole = true;
    for some in verdicts.chunks(TOGETHER) {
        let Ok(value) = serde_json::to_value(some) else {
            continue;
        };
        let message = Message::Health(value);
        // Who cannot be told now is told the next time.
        whole &= backups
            .iter()
            .all(|backup| peers.send(*backup, &message).is_ok());
    }
    *told = Told {
        verdicts: if whole { verdicts } else { Vec::new() },
        at: whole.then(Instant::now),
    };
}
