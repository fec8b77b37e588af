//! The director's ipvsadm.

use std::process::ExitCode;

fn main() -> ExitCode {
    lvs_userspace::cli::main(std::env::args_os())
}
