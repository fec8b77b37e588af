//! `cargo xtask bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::measurement;
use crate::setup::{self, Purpose};

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
        let json = self
            .json
            .iter()
            .flat_map(|file| ["--json".into(), file.into()]);
        let options = json.chain(self.more.iter().map(OsString::from));
        measurement::become_program(
            &["--package", "lvs-tests", "--bin", "bench"],
            "bench",
            options,
        )?;
        Ok(())
    }
}
