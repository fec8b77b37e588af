//! `cargo xtask lint`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{bpf, shell, toolchain};

mod circles;
mod drawing;
mod test_index;

/// Check formatting, lints of all crates, circles of modules, drawings and the index of tests; warnings are errors. With
/// cargo-deny also licences and sources of the dependencies.
#[derive(Args)]
pub(crate) struct Lint {}

pub(crate) fn execute() -> Result<()> {
    test_index::check()?;
    drawing::check()?;
    circles::check()?;
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

/// All Rust files of the project, relative to its folder.
fn sources() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(shell::workspace().join(&folder))? {
            let entry = entry?;
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.to_string_lossy().starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
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
