//! Connections and persistence templates of other directors, by whatever protocol they came.

use std::net::SocketAddr;

use lvs_common::connection::Protocol;

/// A connection or persistence template as another director describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replica {
    /// `None`: none that is balanced. A template of a firewall mark's service has none.
    pub(crate) protocol: Option<Protocol>,
    /// A persistence template instead of a connection.
    pub(crate) template: bool,
    /// The client; of a template its network, and port 0.
    pub(crate) client: SocketAddr,
    /// Address and port that the client asked for.
    pub(crate) virtual_address: SocketAddr,
    /// State, as its protocol numbers it.
    pub(crate) state: u8,
    /// Ticks without a packet after which it is expired; `None`: those of its state.
    pub(crate) timeout: Option<u32>,
}
