//! The director daemon.
fn main() {}
