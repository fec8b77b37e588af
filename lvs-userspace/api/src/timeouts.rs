//! Idle timeouts.

use serde::{Deserialize, Serialize};

/// Timeouts in seconds (`ipvsadm --set`, or those of one service).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "the names say it")]
pub struct Timeouts {
    pub tcp: u32,
    pub tcp_fin: u32,
    pub udp: u32,
}
