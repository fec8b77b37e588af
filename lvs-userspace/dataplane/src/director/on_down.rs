//! What becomes of a dead server's connections.

/// Treatment of the connections of a server that died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// They stay with it, as with ldirectord.
    #[default]
    Keep,
    /// As [`OnDown::Reschedule`], and both sides are reset at once: the server's, too, and silent clients are made
    /// to speak.
    Reset,
    /// Their next packets are scheduled anew, or answered with a reset where that makes no sense.
    Reschedule,
}
