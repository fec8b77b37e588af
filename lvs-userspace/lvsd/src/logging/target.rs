//! The places a log may be at.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;
use std::time::Instant;

use super::line::ctime;
use super::machine::MachineLog;

/// The log without a `logfile`.
const DEFAULT_FILE: &str = "/var/log/ldirectord.log";

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A file. It is opened for each line, so that it may be moved away at any time.
    File(PathBuf),
    /// The machine's log, under this facility.
    Syslog(String),
}

/// Where lines are written now.
enum Place {
    /// Nowhere yet.
    Waiting(Vec<String>),
    Target(Target),
    /// The standard output, which a supervisor reads.
    Output,
}

/// Lines that wait at most.
const WAITING: usize = 1000;

impl Target {
    /// What `logfile` says: a path if it begins with `/`, else a facility.
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
    place: Place,
    machine: Option<MachineLog>,
}

impl Sink {
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            place: Place::Waiting(Vec::new()),
            machine: None,
        }
    }

    pub(super) fn output() -> Self {
        Self {
            place: Place::Output,
            ..Self::new("")
        }
    }

    pub(super) const fn waits(&self) -> bool {
        matches!(self.place, Place::Waiting(_))
    }

    pub(super) fn move_to(&mut self, target: Target) {
        match &mut self.place {
            Place::Output => {}
            Place::Target(before) if *before == target => {}
            Place::Target(before) => {
                *before = target;
                self.machine = None;
            }
            Place::Waiting(lines) => {
                let lines = std::mem::take(lines);
                self.place = Place::Target(target);
                for line in lines {
                    // Whoever writes the next line finds out.
                    let _ = self.write(&line);
                }
            }
        }
    }

    pub(super) fn write(&mut self, message: &str) -> io::Result<()> {
        match &mut self.place {
            Place::Waiting(lines) if lines.len() < WAITING => lines.push(message.to_owned()),
            Place::Waiting(_) => return Err(io::ErrorKind::StorageFull.into()),
            Place::Output => writeln!(io::stdout(), "[{}] {message}", ctime())?,
            Place::Target(Target::File(path)) => {
                let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                let pid = process::id();
                let line = format!("[{}|{}|{pid}] {message}\n", ctime(), self.instance);
                // One call, so that lines of several processes do not mix.
                file.write_all(line.as_bytes())?;
            }
            Place::Target(Target::Syslog(facility)) => {
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
