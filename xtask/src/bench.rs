//! `cargo xtask bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::{measurement, report};

/// Measure the cost of the packet path.
///
/// Each case runs the real program in the kernel. It prints nanoseconds per packet above the empty
/// harness of the same run, and packets per second of live frames through veth pairs.
///
/// With --report all other measurements follow (packets and commands beside IPVS, floods,
/// failover, replication, health checks, cluster managers), and
/// the figures become a document. That takes half an hour, in which the machine should do nothing else.
#[derive(Args)]
pub(crate) struct Bench {
    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure everything, and write the figures to this file.
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        default_missing_value = "docs/performance.md",
        conflicts_with = "json"
    )]
    report: Option<PathBuf>,
    /// Further options of the bench.
    #[arg(last = true, value_name = "OPTIONS")]
    more: Vec<String>,
}

impl Bench {
    pub(crate) fn execute(&self) -> Result<()> {
        if let Some(document) = &self.report {
            setup::ensure(&[
                Purpose::Build,
                Purpose::Lab,
                Purpose::HealthChecks,
                Purpose::Cluster,
                Purpose::Vm,
            ])?;
            return report::write(document, &self.more);
        }
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
