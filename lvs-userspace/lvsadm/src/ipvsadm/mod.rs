//! ipvsadm's commands: a session executes them over the control socket and prints the answers. Exit codes are
//! ipvsadm's own.

mod failure;
mod help;
mod marks;
mod session;
mod status;
mod sysctls;
mod verdicts;

pub(crate) use help::parts as help_parts;
pub(crate) use session::main;
