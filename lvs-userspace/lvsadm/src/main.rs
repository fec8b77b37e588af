//! The director's ipvsadm, with verbs of its own.

mod ipvsadm;
mod socket;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if verbs::is_verb(&words) {
        verbs::main(words)
    } else {
        ipvsadm::main(words)
    }
}
