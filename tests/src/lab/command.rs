//! Programs the lab runs: their output kept for the message when they fail.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a command to its end; an unsuccessful end is an error that holds what it said.
pub fn output(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}", failure(command, &output));
    }
    Ok(output)
}

/// The output of a failed command.
pub(super) fn failure(command: &Command, output: &Output) -> String {
    let arguments: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    format!(
        "`{} {}` failed ({}): {}",
        command.get_program().display(),
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&said).trim()
    )
}

/// Gives `ip` many commands at once, one a line: one process instead of dozens.
pub(super) fn ip_batch(options: &[&str], lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start ip")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(lines.as_bytes())
            .context("cannot write to ip")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", failure(&command, &output));
    }
    Ok(())
}
