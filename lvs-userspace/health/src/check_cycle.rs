//! The order in which the parts of a check are made.

use std::sync::Arc;

use super::check::{Check, Kind};

/// The order of checks: a combined one is a negotiation at first and after a failure, then so many
/// connections.
pub(crate) struct CheckCycle {
    /// The check itself.
    pub(crate) whole: Arc<Check>,
    connection: Option<(Arc<Check>, u32)>,
    left: u32,
}

impl CheckCycle {
    pub(crate) fn new(check: Arc<Check>) -> Self {
        let connection = match &check.kind {
            Kind::Combined { connects, .. } => Some((Arc::new(check.connecting()), *connects)),
            _ => None,
        };
        Self {
            whole: check,
            connection,
            left: 0,
        }
    }

    /// The check to make now.
    pub(crate) fn next(&self) -> Arc<Check> {
        match &self.connection {
            Some((connection, _)) if self.left > 0 => Arc::clone(connection),
            _ => Arc::clone(&self.whole),
        }
    }

    /// Records the outcome of a check.
    pub(crate) fn record(&mut self, good: bool) {
        self.left = match &self.connection {
            Some((_, connects)) if good && self.left == 0 => *connects,
            _ if good => self.left.saturating_sub(1),
            _ => 0,
        };
    }

    /// The next check is the whole one.
    pub(crate) fn failed(&mut self) {
        self.record(false);
    }
}
