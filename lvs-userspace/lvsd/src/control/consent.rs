//! The configuration of this director beside that of a peer, and the answer to a handover: whether connections would
//! be lost by it.

use std::sync::Arc;
use std::time::Instant;

use lvs_failover::role::handover::Consent;
use lvs_replication::peer::Instance;
use serde_json::Value;

use super::state::Control;
use crate::agreement::Summary;

/// Sets what this director has now.
pub(crate) async fn refresh_agreement(control: &Arc<Control>) {
    let checked = match control.controller() {
        Some(controller) => controller.configured().await,
        None => Vec::new(),
    };
    let director = Arc::clone(control);
    let read = tokio::task::spawn_blocking(move || director.director().configuration());
    // A director that cannot be read has panicked: there is nothing to compare.
    if let Ok(tables) = read.await {
        control.agreement().refresh(tables, checked, Instant::now());
    }
}

/// This director's answer.
pub(crate) struct OwnConsent(pub(crate) Arc<Control>);

impl Consent for OwnConsent {
    async fn summary(&self) -> Value {
        refresh_agreement(&self.0).await;
        let digest = self.0.agreement().own().digest.clone();
        let summary = Summary {
            digest,
            ..Summary::default()
        };
        serde_json::to_value(summary).unwrap_or_default()
    }

    async fn objection(&self, peer: Instance, theirs: Option<&Value>) -> Option<String> {
        let control = &self.0;
        refresh_agreement(control).await;
        let agreement = control.agreement();
        let not_taken = control.peers().map_or(0, |peers| peers.not_taken(peer));
        let comparison = agreement.comparison(peer, not_taken);
        let Some(theirs) = theirs else {
            if agreement.lacks_carrier(peer) {
                let text = "its interfaces of the virtual addresses are down or without carrier";
                return Some(text.to_owned());
            }
            // The peer is asked about what it has not taken when it is asked to become master.
            let differs = comparison.filter(|it| it.differs || it.not_taken_there > 0)?;
            return Some(differs.sentences().join("; "));
        };
        if not_taken > 0 {
            return Some(format!(
                "{not_taken} connections are not here, for want of their real server or of room"
            ));
        }
        let theirs: Summary = serde_json::from_value(theirs.clone()).ok()?;
        let differs = theirs.digest != agreement.own().digest;
        differs.then(|| "the configuration here differs (lvsadm sync status)".to_owned())
    }
}
