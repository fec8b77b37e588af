//! Command lines as they are understood.

mod edits;
mod refusals;
mod views;

use lvs_api::model::{Protocol, ServiceId};

use super::*;

fn parsed(line: &str) -> Result<Command, UsageError> {
    // Two quotes stand for an empty word.
    let words = line
        .split_whitespace()
        .map(|word| word.replace("''", ""))
        .collect();
    parse("ipvsadm", words).map(|invocation| invocation.command)
}

fn tcp(address: &str) -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: address.parse().expect("an address"),
    }
}
