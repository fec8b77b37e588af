//! The processes that the daemon starts, and the privileges of both.
//!
//! | who | user | capabilities | system call filter |
//! |---|---|---|---|
//! | threads of the daemon | root | those that a running director needs | yes |
//! | commands of health checks | `checkuser` | none | yes |
//! | commands that act on the system, `checkuser = root` | root | those that the daemon was started with | no |
//!
//! None of them gains privileges by executing a file (`no_new_privs`). Commands of the last row are started by a
//! thread that neither gives capabilities up nor has the filter ([`system_commands`]).

pub mod children;
pub mod commands;
pub mod privileges;
mod seccomp;
pub mod system_commands;
pub mod user;
