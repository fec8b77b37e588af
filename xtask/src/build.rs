//! `cargo xtask build`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Build lvsd and lvsadm (release profile).
///
/// Both are in target/release afterwards. The BPF program is inside lvsd: copy lvsd to a director,
/// and lvsadm too for the command line.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Build {}

pub(crate) fn execute() -> Result<()> {
    setup::ensure(&[Purpose::Build])?;
    build()?;
    let folder = shell::target_dir().join("release");
    for program in ["lvsd", "lvsadm"] {
        println!("{}", folder.join(program).display());
    }
    Ok(())
}

/// Builds every program of the workspace.
pub(crate) fn build() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--release", "--bins"]))
}
