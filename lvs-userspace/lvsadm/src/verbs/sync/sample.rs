//! A peer for tests.

use lvs_api::peers::{BulkSync, Comparison, PeerReceived, PeerSent, PeerState, PeerStatus};
use lvs_api::role::Role;
use lvs_api::sync::DiscardCount;

use super::COMPARES;

/// A peer that was sent 1,000 connections and sent 20.
pub(super) fn peer(address: &str, state: PeerState) -> PeerStatus {
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
