//! Somebody who traces packets, from the request to the task that serves it.

use std::convert::Infallible;

use axum::body::Bytes;
use lvs_api::protocol::Refusal;
use lvs_dataplane::packet_trace::Filter;
use tokio::sync::{mpsc, oneshot};

/// Somebody who traces packets.
pub(crate) struct Tracer {
    /// The packets that are asked for.
    pub(crate) filter: Filter,
    /// Bytes of images of the frames; 0: none.
    pub(crate) image: u32,
    /// Takes lines.
    pub(crate) lines: mpsc::Sender<Result<Bytes, Infallible>>,
    /// Hears whether the trace begins.
    begun: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl Tracer {
    /// Somebody who hears by `begun` whether the trace begins.
    pub(super) const fn new(
        filter: Filter,
        image: u32,
        lines: mpsc::Sender<Result<Bytes, Infallible>>,
        begun: oneshot::Sender<Result<(), Refusal>>,
    ) -> Self {
        Self {
            filter,
            image,
            lines,
            begun: Some(begun),
        }
    }

    /// The trace does not begin.
    pub(crate) fn refuse(mut self, refusal: Refusal) {
        if let Some(begun) = self.begun.take() {
            // Who asked may have gone.
            let _ = begun.send(Err(refusal));
        }
    }

    /// The trace begins; none, if who asked has gone.
    pub(crate) fn accept(mut self) -> Option<Self> {
        let begun = self.begun.take()?;
        begun.send(Ok(())).ok()?;
        Some(self)
    }
}
