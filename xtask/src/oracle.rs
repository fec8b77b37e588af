//! `cargo xtask oracle`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Ask the kernel's own IPVS, in a virtual machine, what the recordings in tests/tests/oracle say it answers.
///
/// Without an option the answers are compared; every difference is printed. Ordinary tests compare the director with
/// the recordings, of the recorded histories (of commands and packets, made from seeds) with some. All of these are
/// compared here, and new ones, which the kernel and the director play.
#[derive(Args)]
pub(crate) struct Oracle {
    /// Record the answers: also how command lines that were added get theirs.
    #[arg(long)]
    record: bool,
    /// Play only new histories, of these seeds: the first and the last one (`2000-2099`); or one as a difference names
    /// it (`2000:1,7,9`).
    #[arg(long, value_name = "SEEDS", conflicts_with = "record")]
    histories: Option<String>,
}

impl Oracle {
    pub(crate) fn execute(&self) -> Result<()> {
        setup::ensure(&[Purpose::Build, Purpose::Lab, Purpose::Vm])?;
        shell::run(shell::cargo().args(["build", "--bins"]))?;
        let mut tests = shell::cargo();
        tests.args(["test", "--package", "lvs-tests", "--test", "oracle"]);
        if let Some(seeds) = &self.histories {
            tests.arg("new_histories").env("LVS_HISTORIES", seeds);
        }
        tests.args(["--", "--ignored", "--nocapture"]);
        if self.record {
            tests.arg("recorded_histories_are").arg("recordings_are");
            tests.env("LVS_ORACLE", "record");
        }
        shell::run(&mut tests)
    }
}
