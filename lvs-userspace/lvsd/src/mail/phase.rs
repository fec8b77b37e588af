//! Phases of the daemon's life.

/// Phase of the daemon: `emailalertstatus` chooses among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
    Stopping,
    Reloading,
}

impl Phase {
    /// As `emailalertstatus` spells it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Reloading => "reloading",
        }
    }
}
