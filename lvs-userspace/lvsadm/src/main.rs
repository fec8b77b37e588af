//! The director's ipvsadm, with verbs of its own.

mod generate;
mod ipvsadm;
mod options;
mod socket;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words: Vec<_> = std::env::args_os().collect();
    if let Some(document) = generate::asked(&words) {
        return generate::print(document);
    }
    let limit = options::extract_timeout(&mut words);
    if verbs::is_verb(&words) {
        verbs::main(words, limit)
    } else {
        ipvsadm::main(words, limit)
    }
}
