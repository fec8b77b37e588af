//! `cargo xtask bench`.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Measure the cost of the packet path.
///
/// Each case runs the real program in the kernel. It prints nanoseconds per packet above the empty
/// harness of the same run, and packets per second of live frames through veth pairs.
#[derive(Args)]
pub(crate) struct Bench {
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Further options of the bench.
    #[arg(last = true, value_name = "OPTIONS")]
    more: Vec<String>,
}

impl Bench {
    pub(crate) fn execute(&self) -> Result<()> {
        setup::ensure(&[Purpose::Build, Purpose::Lab])?;
        shell::run(shell::cargo().args([
            "build",
            "--release",
            "--package",
            "lvs-tests",
            "--bin",
            "bench",
        ]))?;
        let mut command = shell::as_root(shell::target_dir().join("release/bench"))?;
        if let Some(file) = &self.json {
            command.arg("--json").arg(file);
        }
        command.args(&self.more);
        let error = command.exec();
        bail!("cannot start `{}`: {error}", shell::text(&command))
    }
}
