//! `cargo xtask flood`.

use std::os::unix::process::CommandExt as _;

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Flood the connection table at full size, with honest clients beside.
///
/// Each kind of flood (SYNs, a SYN and an ACK, a SYN and a FIN, two datagrams, connections that nothing recycles) sends
/// ten times the entries of the default table in a minute through the real program, in the kernel, from an address each;
/// no frame leaves. It prints how many of 1,000 established connections were lost and how many new clients with a
/// round trip of 200 ms were served, by direct routing and by NAT, and fails if any was lost or more than 1 % were not
/// served (3 % where nothing recycles). It takes some six minutes; `-- --help` lists sizes and times.
#[derive(Args)]
pub(crate) struct Flood {
    /// Options of the measurement.
    #[arg(last = true, value_name = "OPTIONS")]
    more: Vec<String>,
}

impl Flood {
    pub(crate) fn execute(&self) -> Result<()> {
        setup::ensure(&[Purpose::Build, Purpose::Lab])?;
        shell::run(shell::cargo().args([
            "build",
            "--release",
            "--package",
            "lvs-tests",
            "--bin",
            "flood",
        ]))?;
        let mut command = shell::as_root(shell::target_dir().join("release/flood"))?;
        command.args(&self.more);
        let error = command.exec();
        bail!("cannot start `{}`: {error}", shell::text(&command))
    }
}
