//! `cargo xtask compare`.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Compare what users lose when a real server fails with HAProxy and Apache.
///
/// Everything runs in network namespaces of its own; it takes two to three minutes, and prints the table of
/// docs/comparison.md.
#[derive(Args)]
pub(crate) struct Compare {}

pub(crate) fn execute() -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Lab, Purpose::HealthChecks])?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "lvsd",
        "--package",
        "lvsadm",
        "--package",
        "lvs-tests",
        "--bins",
    ]))?;
    let mut command = shell::as_root(shell::target_dir().join("release/compare"))?;
    let error = command.exec();
    bail!("cannot start `{}`: {error}", shell::text(&command))
}
