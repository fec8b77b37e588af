//! The synchronization protocol of the kernel's IPVS, for directors of either kind: multicast messages of
//! connections and templates, which nothing acknowledges, encrypts or authenticates
//! (`lvsadm --start-daemon`).

mod backup;
mod daemons;
mod master;
mod options;
mod refresh;
mod snapshot;
mod socket;
mod unbound;
mod validate;
pub mod wire;
mod worker;

pub use daemons::{SyncDaemons, SyncError};
pub use options::SyncOptions;
pub use refresh::RefreshOptions;
pub use socket::SocketError;
