//! Exit codes of the verbs: ldirectord's, and those of init scripts (LSB).

/// Something could not be done.
pub(crate) const FAILED: u8 = 1;
/// The file is wrong.
pub(crate) const WRONG_FILE: u8 = 2;
/// `status`: the daemon does not run.
pub(crate) const NOT_RUNNING: u8 = 3;
/// Whoever read the output has ended: as the shell has it for a program that SIGPIPE ends.
pub(crate) const BROKEN_PIPE: u8 = 128 + 13;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 255;
