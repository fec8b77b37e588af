//! The end of a master that holds virtual addresses: they go to a peer, or go away, but do not stay at a director that
//! is no more.

use std::sync::Arc;
use std::time::Duration;

use lvs_replication::peer::Peers;

use super::handover::{self, Consent, Handover};
use super::roles::Roles;

/// Longest wait until the peer has every connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives the addresses of a master up before it ends. Returns what was done, one sentence; `None`: it holds none.
pub async fn step_down(
    roles: &Roles,
    peers: Option<&Arc<Peers>>,
    consent: &impl Consent,
    keep: bool,
) -> Option<String> {
    if !roles.holds_addresses() {
        return None;
    }
    if keep {
        let kept = "the virtual addresses stay at this director (--keep-addresses)";
        return Some(kept.to_owned());
    }
    if roles.may_be_shared() {
        // Who else holds them is an operator's choice.
        return Some(match roles.release_addresses().await {
            Ok(()) => "the virtual addresses are released: other directors that hold them go on"
                .to_owned(),
            Err(error) => error.to_string(),
        });
    }
    // It ends in any case: a peer that differs is better than none.
    let handover = Handover {
        patience: PATIENCE,
        force: true,
    };
    let Err(why) = handover::hand_over(roles, peers, consent, handover).await else {
        return Some("the role and the virtual addresses are the peer's now".to_owned());
    };
    Some(match roles.release_addresses().await {
        Ok(()) => format!("the virtual addresses are released, and no director holds them: {why}"),
        Err(error) => format!("no peer takes the virtual addresses ({why}), and {error}"),
    })
}
