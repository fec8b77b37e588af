//! The director's ipvsadm, with verbs of its own.

mod admin;
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if admin::is_verb(&words) {
        admin::main(words)
    } else {
        cli::main(words)
    }
}
