//! `cargo xtask oracle`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Ask the kernel's own IPVS, in a virtual machine, what the recordings in tests/tests/oracle say it answers.
///
/// It boots the machine once. Without an option the answers are compared; every difference is printed. Ordinary tests
/// compare the director with the recordings.
#[derive(Args)]
pub(crate) struct Oracle {
    /// Record the answers: also how command lines that were added get theirs.
    #[arg(long)]
    record: bool,
}

impl Oracle {
    pub(crate) fn execute(&self) -> Result<()> {
        setup::ensure(&[Purpose::Build, Purpose::Vm])?;
        let mut tests = shell::cargo();
        tests.args(["test", "--package", "lvs-tests", "--test", "oracle"]);
        tests.args(["--", "--ignored", "--nocapture"]);
        if self.record {
            tests.env("LVS_ORACLE", "record");
        }
        shell::run(&mut tests)
    }
}
