//! The probes: one file for each protocol.
