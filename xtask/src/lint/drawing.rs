//! The drawing of the packet path's stages: ARCHITECTURE.md and `forward/mod.rs` have the same.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// The line with which the drawing begins.
const BEGIN: &str = "```text\n                     frame\n";

/// Compares both drawings.
pub(super) fn check() -> Result<()> {
    let page = fs::read_to_string(shell::workspace().join("ARCHITECTURE.md"))?;
    let code = fs::read_to_string(shell::workspace().join("lvs-common/src/forward/mod.rs"))?;
    let lines = code.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let comment = lines.collect::<Vec<_>>().join("\n");
    if drawing(&page)? != drawing(&comment)? {
        bail!("ARCHITECTURE.md and forward/mod.rs draw the stages differently");
    }
    Ok(())
}

fn drawing(text: &str) -> Result<&str> {
    let (_, drawing) = text.split_once(BEGIN).context("no drawing of the stages")?;
    drawing
        .split("```")
        .next()
        .context("a drawing without an end")
}
