//! The filter of an interface's `clsact` queueing discipline, by its place and number: it stands for a link where the
//! kernel has none behind the driver.

use aya::programs::TcAttachType;
use aya::programs::tc::{SchedClassifierLink, TcHandle};
use tracing::debug;

/// The filter's place among those of others: early, but an operator can put one before it.
pub(super) const PRIORITY: u16 = 50;
/// The filter's number at that place.
pub(super) const HANDLE: TcHandle = TcHandle::new(0, 0x11b5);

/// Removes the filter of an interface, if it and its filter are still there.
pub(super) fn remove_filter(interface: &str) {
    // Detached when it is dropped.
    match filter(interface) {
        Ok(link) => drop(link),
        Err(error) => debug!("{interface}: {error}"),
    }
}

pub(super) fn filter(interface: &str) -> std::io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, TcAttachType::Ingress, PRIORITY, HANDLE, None)
}
