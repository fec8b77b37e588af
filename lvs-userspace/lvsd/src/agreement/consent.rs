//! The answer to a handover: whether connections would be lost by it.

use std::sync::Arc;

use lvs_failover::role::handover::Consent;
use lvs_replication::peer::Instance;
use serde_json::Value;

use super::exchange::refresh;
use super::message::Summary;
use crate::control::Control;

/// This director's answer.
pub(crate) struct OwnConsent(pub(crate) Arc<Control>);

impl Consent for OwnConsent {
    async fn summary(&self) -> Value {
        refresh(&self.0).await;
        let digest = self.0.agreement().own().digest.clone();
        let summary = Summary {
            digest,
            ..Summary::default()
        };
        serde_json::to_value(summary).unwrap_or_default()
    }

    async fn objection(&self, peer: Instance, theirs: Option<&Value>) -> Option<String> {
        let control = &self.0;
        refresh(control).await;
        let agreement = control.agreement();
        let not_taken = control.peers().map_or(0, |peers| peers.not_taken(peer));
        let comparison = agreement.comparison(peer, not_taken);
        let Some(theirs) = theirs else {
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
