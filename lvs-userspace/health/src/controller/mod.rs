//! The controller: takes reports of probes, overrides of the operator and new configurations, and sends updates of
//! the tables to the writer. One task holds all state; nothing in it waits for the network, the disk or the kernel.

mod difference;
mod events;
mod handle;
mod listing;
mod mirror;
mod observe;
mod overrides;
mod reconcile;
mod reload;
mod request;
mod run;
mod start;
mod state;

pub use self::handle::Handle;
pub use self::request::Tables;
pub use self::start::ControllerParts;
