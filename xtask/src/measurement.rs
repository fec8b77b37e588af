//! Measurements: programs of the tests, optimised, as root.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Result, bail};

use crate::shell;

/// Builds what this selection of cargo's names, and becomes one of the programs with these options. Returns only
/// where that fails.
pub(crate) fn become_program(
    selection: &[&str],
    name: &str,
    options: impl IntoIterator<Item = OsString>,
) -> Result<Infallible> {
    shell::run(shell::cargo().args(["build", "--release"]).args(selection))?;
    let mut command = shell::as_root(shell::target_dir().join("release").join(name))?;
    command.args(options);
    let error = command.exec();
    bail!("cannot start `{}`: {error}", shell::text(&command))
}
