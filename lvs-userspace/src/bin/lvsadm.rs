//! The director's ipvsadm.
fn main() {}
