//! The set-associative connection table.
