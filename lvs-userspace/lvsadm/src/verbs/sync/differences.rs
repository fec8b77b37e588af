//! Differences between peers and this director.

use lvs_api::peers::{PeerState, PeerStatus};

/// The differences between peers and this director, a sentence each with the peer's address.
pub(in crate::verbs) fn differences(peers: &[PeerStatus]) -> Vec<String> {
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
