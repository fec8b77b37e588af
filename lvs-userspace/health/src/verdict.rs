//! What a master tells its backups about real servers, so that who takes over knows it from the first
//! packet on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use lvs_api::health::{AdminState, State, Weight};
use lvs_api::model::ServiceId;

/// How a master sees one real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The virtual service.
    pub service: ServiceId,
    /// The real server.
    pub server: SocketAddr,
    /// What its probes say.
    pub state: State,
    /// What the operator ordered.
    pub admin: AdminState,
    /// And about its weight.
    pub weight: Weight,
}
