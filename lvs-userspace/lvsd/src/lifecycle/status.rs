//! The texts of `status`, which Heartbeat and init scripts read.

use std::io::{self, Write as _};
use std::path::Path;

use nix::sys::stat::fstat;

use super::exit_code::{FAILED, NOT_RUNNING};
use super::instance::Instance;
use super::pid_file::{Liveness, look};

/// Prints that the daemon of a file runs: on the standard output, which Heartbeat reads, and on the error output,
/// as ldirectord does; once where both are one terminal. A file that is gone is printed as it was named.
pub(super) fn print_running(instance: &Instance, found: Option<&Path>, pid: u32) {
    let file = found.map_or_else(
        || instance.argument().to_owned(),
        |path| path.display().to_string(),
    );
    let line = format!("ldirectord for {file} is running with pid: {pid}");
    print_line(&line);
    let same = match (fstat(io::stdout()), fstat(io::stderr())) {
        (Ok(out), Ok(err)) => (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino),
        _ => false,
    };
    if !same {
        print_error(&line);
    }
}

/// Prints that no daemon runs; the exit code.
pub(super) fn print_stopped(path: &Path, pid_file: &Path) -> io::Result<u8> {
    let stale = look(pid_file)? == Liveness::Stale;
    let file = path.display();
    if stale {
        print_error(&format!(
            "ldirectord stale pid file {} for {file}",
            pid_file.display()
        ));
    }
    print_line(&format!("ldirectord is stopped for {file}"));
    Ok(if stale { FAILED } else { NOT_RUNNING })
}

/// Prints what a verb did beside what it is for.
pub(super) fn print_note(line: &str) {
    print_line(line);
}

fn print_line(line: &str) {
    // If this cannot be written there is no other place for it; the exit code says the same.
    drop(writeln!(io::stdout(), "{line}"));
}

/// Prints a line on the error output.
pub(super) fn print_error(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
