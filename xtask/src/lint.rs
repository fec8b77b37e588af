//! `cargo xtask lint`.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{bpf, shell, toolchain};

mod test_index;

/// Check formatting, lints of all crates and the index of tests; warnings are errors. With cargo-deny
/// also licences and sources of the dependencies.
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
    shell::run(&mut bpf::check()?)?;
    licenses()
}

/// Checks licences and sources of the dependencies by deny.toml, without the network, where cargo-deny is.
fn licenses() -> Result<()> {
    let beside = toolchain::cargo_bin().map(|folder| folder.join("cargo-deny"));
    let Some(deny) = shell::find("cargo-deny").or(beside.filter(|path| path.is_file())) else {
        eprintln!(
            "cargo-deny is not installed: licences and sources of dependencies are not checked"
        );
        return Ok(());
    };
    let mut command = Command::new(deny);
    command.current_dir(shell::workspace());
    command.args([
        "--offline",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    shell::run(&mut command)
}
