//! The verbs of an init script, for the daemon of one file: ldirectord's, with its texts and its exit
//! codes.
//!
//! | verb | running | not running | stale pid file |
//! |---|---|---|---|
//! | `start` | 0, nothing is done | starts, 0 when the tables are set | starts |
//! | `stop` | ends it, 0 when it has ended | 0 | 0 |
//! | `restart` | ends it, starts | starts | starts |
//! | `try-restart` | ends it, starts | 0 | 0 |
//! | `reload`, `force-reload` | 0 when the file is in effect, 2 if it is wrong, 1 if nothing answers | 1 | 1 |
//! | `status` | 0 | 3 | 1 |
//!
//! No file is 1, a wrong file 2, a wrong command line 255. It differs from ldirectord on purpose: `start` and
//! `stop` return when they are done; the exit code of `reload` says whether the file is in effect; `start`,
//! `stop` and `status` do not read the file of a running daemon; a restart with a wrong file ends nothing; one
//! with a right file loses no packet.

mod command_line;
mod detach;
mod exit_code;
mod instance;
mod pid_file;
mod status;
mod verb;

pub(crate) use self::command_line::Command;
pub(crate) use self::detach::{Detached, launch};
pub(crate) use self::exit_code::{BROKEN_PIPE, FAILED, USAGE};
pub(crate) use self::instance::Instance;
pub(crate) use self::pid_file::{Liveness, PidFile, look};
pub(crate) use self::verb::{Daemon, Next, NotReloaded, run};
