//! The director's ipvsadm, with verbs of its own.

use std::process::ExitCode;

use lvs_userspace::{admin, cli};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if admin::is_verb(&words) {
        admin::main(words)
    } else {
        cli::main(words)
    }
}
