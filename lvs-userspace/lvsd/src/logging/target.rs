//! Destinations of log lines: a file, syslog, the standard output, or a queue until the file is read.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::time::Instant;

use super::machine::MachineLog;

/// Log file without a `logfile`.
const DEFAULT_FILE: &str = "/var/log/ldirectord.log";

/// Destination that a configuration file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A file. It is opened for each line, so that it may be renamed at any time.
    File(PathBuf),
    /// Syslog, under this facility.
    Syslog(String),
}

/// Destination of lines now.
enum Output {
    /// Not known yet: lines are queued, each with its time.
    Queue(Vec<(String, String)>),
    Target(Target),
    /// The standard output, which a supervisor reads.
    Stdout,
}

/// Lines in the queue at most.
const QUEUED: usize = 1000;

impl Target {
    /// Parses a `logfile`: a path if it begins with `/`, else a facility.
    pub(super) fn parse(logfile: Option<&str>) -> Self {
        match logfile {
            None => Self::File(PathBuf::from(DEFAULT_FILE)),
            Some(path) if path.starts_with('/') => Self::File(PathBuf::from(path)),
            Some(facility) => Self::Syslog(facility.to_owned()),
        }
    }
}

/// Writes lines to a target.
pub(super) struct Sink {
    instance: String,
    output: Output,
    machine: Option<MachineLog>,
}

impl Sink {
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            output: Output::Queue(Vec::new()),
            machine: None,
        }
    }

    pub(super) fn stdout() -> Self {
        Self {
            output: Output::Stdout,
            ..Self::new("")
        }
    }

    pub(super) const fn is_queueing(&self) -> bool {
        matches!(self.output, Output::Queue(_))
    }

    pub(super) fn move_to(&mut self, target: Target) {
        match &mut self.output {
            Output::Stdout => {}
            Output::Target(before) if *before == target => {}
            Output::Target(before) => {
                *before = target;
                self.machine = None;
            }
            Output::Queue(lines) => {
                let lines = std::mem::take(lines);
                self.output = Output::Target(target);
                for (time, line) in lines {
                    // The next line that is written reports the error.
                    let _ = self.write(&time, &line);
                }
            }
        }
    }

    /// Writes a line of this time.
    pub(super) fn write(&mut self, time: &str, message: &str) -> io::Result<()> {
        match &mut self.output {
            Output::Queue(lines) if lines.len() < QUEUED => {
                lines.push((time.to_owned(), message.to_owned()));
            }
            Output::Queue(_) => return Err(io::ErrorKind::StorageFull.into()),
            Output::Stdout => writeln!(io::stdout(), "[{time}] {message}")?,
            Output::Target(Target::File(path)) => {
                let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                let pid = process::id();
                let line = format!("[{time}|{}|{pid}] {message}\n", self.instance);
                // One call, so that lines of several processes do not mix.
                file.write_all(line.as_bytes())?;
            }
            Output::Target(Target::Syslog(facility)) => {
                let machine = || MachineLog::new(facility);
                let machine = self.machine.get_or_insert_with(machine);
                machine.write(message, Instant::now())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logfile_names_a_file_or_a_facility() {
        let file = |path: &str| Target::File(PathBuf::from(path));
        assert_eq!(Target::parse(None), file("/var/log/ldirectord.log"));
        assert_eq!(Target::parse(Some("/tmp/x")), file("/tmp/x"));
        assert_eq!(
            Target::parse(Some("local0")),
            Target::Syslog("local0".to_owned())
        );
    }
}
