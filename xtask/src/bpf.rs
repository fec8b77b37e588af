//! `cargo check` of the BPF program with the compiler that builds it.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;
use crate::toolchain::Compiler;

pub(crate) fn check() -> Result<Command> {
    let compiler = Compiler::find().context("no Rust compiler for BPF is installed")?;
    let mut cargo = compiler.cargo(shell::cargo_program(), "check");
    cargo
        .current_dir(shell::workspace())
        .arg("--target-dir")
        .arg(shell::target_dir().join("bpf"))
        .env("RUSTFLAGS", "-Ctarget-cpu=v3 -Dwarnings");
    Ok(cargo)
}
