//! `cargo xtask flood`.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::measurement;
use crate::setup::{self, Purpose};

/// Flood the connection table at full size, with honest clients beside.
///
/// Each kind of flood (SYNs, a SYN and an ACK, a SYN and a FIN, two datagrams, connections that nothing recycles) sends
/// ten times the entries of the default table in a minute through the real program, in the kernel, from an address
/// each; no frame leaves. It prints how many of 1,000 established connections were lost and how many new clients with a
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
        let options = self.more.iter().map(OsString::from);
        measurement::become_program(
            &["--package", "lvs-tests", "--bin", "flood"],
            "flood",
            options,
        )?;
        Ok(())
    }
}
