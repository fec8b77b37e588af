//! `cargo xtask compare`.

use anyhow::Result;
use clap::Args;

use crate::measurement;
use crate::setup::{self, Purpose};

/// Compare what users lose when a real server fails with HAProxy and Apache.
///
/// Everything runs in network namespaces of its own; it takes two to three minutes, and prints the table of
/// docs/comparison.md.
#[derive(Args)]
pub(crate) struct Compare {}

pub(crate) fn execute() -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Lab, Purpose::HealthChecks])?;
    let selection = ["-p", "lvsd", "-p", "lvsadm", "-p", "lvs-tests", "--bins"];
    measurement::become_program(&selection, "compare", [])?;
    Ok(())
}
