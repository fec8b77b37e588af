//! Starting a daemon in the background: the starter ends when the daemon is ready.
//!
//! The program starts itself once more with [`OPTION`] and waits for one byte on the new process'
//! standard output. The new process leaves the terminal's session, and logs to the standard error output that
//! it was given until it is ready.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

/// Option of the process that becomes the daemon.
const OPTION: &str = "--detached";

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

/// The daemon in the background, before it is ready.
#[derive(Debug)]
pub(crate) struct Detached(());

impl Detached {
    /// Leaves the starter's session and working directory.
    pub(crate) fn leave_session() -> io::Result<Self> {
        setsid()?;
        std::env::set_current_dir("/")?;
        Ok(Self(()))
    }

    /// Lets the starter end, and closes the outputs shared with it.
    #[expect(clippy::unused_self, reason = "the daemon is ready once")]
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
