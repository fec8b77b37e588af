//! State of real servers as a master sends it to its backups, so that the next master knows it from the first
//! packet on.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use lvs_api::health::{AdminState, State, Weight};
use lvs_api::model::ServiceId;

/// State of one real server on the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// The virtual service.
    pub service: ServiceId,
    /// The real server.
    pub server: SocketAddr,
    /// The state that its health checks give it.
    pub state: State,
    /// The operator's override of its state.
    pub admin: AdminState,
    /// The operator's override of its weight.
    pub weight: Weight,
}
