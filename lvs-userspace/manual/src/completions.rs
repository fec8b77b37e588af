//! Completions of shells.

use clap::Command;
use clap_complete::{Shell, generate};

/// The script that completes this command line for a shell.
pub(crate) fn render(shell: Shell, mut command: Command, name: &str) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
