//! `cargo xtask lint`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{bpf, shell};

mod test_index;

/// Check formatting, lints of all crates and the index of tests; warnings are errors.
#[derive(Args)]
pub(crate) struct Lint {}

pub(crate) fn execute() -> Result<()> {
    test_index::check()?;
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
    shell::run(&mut bpf::check()?)
}
