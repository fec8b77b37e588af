//! `ipvsadm`'s side of `lvsadm`: a session carries commands out over the control socket and prints what
//! comes back. Exit codes are ipvsadm's own.

mod failure;
mod help;
mod marks;
mod session;
mod status;
mod verdicts;

pub(crate) use session::main;
