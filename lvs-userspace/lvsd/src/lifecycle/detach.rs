//! A daemon in the background, whose starter ends when it is ready and not before.
//!
//! The program starts itself once more with [`OPTION`] and waits for one byte on the new process'
//! standard output. The new process leaves the terminal's session, and what it has to say until it is
//! ready goes to the standard error output it was given.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

/// Marks the process that is to be the daemon.
pub(super) const OPTION: &str = "--detached";

/// Starts this program's command line as a daemon and waits until it is ready; the exit code for this
/// process: 0, or the daemon's own if it ended instead.
pub(crate) fn launch() -> io::Result<u8> {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| OsString::from("lvsd"));
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(program)
        .arg(OPTION)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(1).read_to_end(&mut ready)?;
    }
    if !ready.is_empty() {
        return Ok(0);
    }
    // Ended by a signal it has no code.
    let code = child.wait()?.code().unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1).max(1))
}

/// The daemon's part, before it is ready.
#[derive(Debug)]
pub(crate) struct Detached(());

impl Detached {
    /// Leaves the starter's session and working directory.
    pub(crate) fn begin() -> io::Result<Self> {
        setsid()?;
        std::env::set_current_dir("/")?;
        Ok(Self(()))
    }

    /// Lets the starter end, and gives up its outputs.
    #[expect(
        clippy::unused_self,
        reason = "only what has begun can be ready, and once"
    )]
    pub(crate) fn ready(self) -> io::Result<()> {
        // A starter that was interrupted is no reason to end.
        let mut output = io::stdout();
        let _ = output.write_all(b"\n").and_then(|()| output.flush());
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        Ok(())
    }
}
