//! `cargo xtask lint`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{bpf, shell};

/// Check formatting and lints of all crates; warnings are errors.
#[derive(Args)]
pub(crate) struct Lint {}

/// Does it.
pub(crate) fn execute() -> Result<()> {
    setup::ensure(&[Purpose::Build])?;
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    // The BPF crate has no meaning for the host: it is checked with its own compiler, below.
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--exclude",
        "lvs-ebpf",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    shell::run(&mut bpf::check())
}
