//! The machine's log (syslog). It may be slow, hang or be restarted: the daemon waits [`PATIENCE`] at most.

use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use syslog::{Error, Facility, Formatter3164, Logger, LoggerBackend};

/// Sockets of syslog: on Linux, and of daemons as BSD has them.
const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/syslog"];

/// Longest wait for a line to be accepted: the socket holds a few only.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time in which lines are dropped without a try after one was not accepted.
const PAUSE: Duration = Duration::from_secs(10);

/// Connection to syslog under a facility.
pub(super) struct MachineLog {
    facility: String,
    sockets: Vec<PathBuf>,
    /// Connects when the first line is written.
    logger: Option<Logger<LoggerBackend, Formatter3164>>,
    paused: Option<Instant>,
    lost: u64,
}

impl MachineLog {
    pub(super) fn new(facility: &str) -> Self {
        Self::at(facility, SOCKETS.map(PathBuf::from).into())
    }

    fn at(facility: &str, sockets: Vec<PathBuf>) -> Self {
        Self {
            facility: facility.to_owned(),
            sockets,
            logger: None,
            paused: None,
            lost: 0,
        }
    }

    /// Writes a line. A line that is not accepted is lost; the number of lost lines is logged with the next that is.
    pub(super) fn write(&mut self, message: &str, now: Instant) -> io::Result<()> {
        if self.paused.is_some_and(|until| now < until) {
            self.lost += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.paused = None;
        let lost = self.lost;
        let reported = if lost == 0 {
            Ok(())
        } else {
            self.send(&format!("{lost} lines were not taken and are lost"))
        };
        let sent = reported.and_then(|()| {
            self.lost = 0;
            self.send(message)
        });
        if sent.is_err() {
            self.lost += 1;
        }
        if is_full(&sent) {
            self.paused = Some(now + PAUSE);
        }
        sent
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        if let Some(logger) = &mut self.logger {
            let sent = logger.info(message).map_err(io_error);
            if sent.is_ok() || is_full(&sent) {
                return sent;
            }
        }
        // The first line, or syslog was restarted.
        let mut logger = self.connect()?;
        logger.info(message).map_err(io_error)?;
        self.logger = Some(logger);
        Ok(())
    }

    fn connect(&self) -> io::Result<Logger<LoggerBackend, Formatter3164>> {
        let facility: Facility = self.facility.parse().map_err(|()| {
            let facility = &self.facility;
            io::Error::other(format!("there is no syslog facility {facility}"))
        })?;
        let connect = |socket: &Path| {
            let formatter = Formatter3164 {
                facility,
                hostname: None,
                process: "ldirectord".to_owned(),
                pid: process::id(),
            };
            syslog::unix_custom(formatter, socket).map_err(io_error)
        };
        let mut connected = Err(io::ErrorKind::NotFound.into());
        for socket in &self.sockets {
            connected = connect(socket);
            if connected.is_ok() {
                break;
            }
        }
        let logger = connected?;
        match &logger.backend {
            LoggerBackend::Unix(socket) => socket.set_write_timeout(Some(PATIENCE))?,
            LoggerBackend::UnixStream(stream) => {
                stream.get_ref().set_write_timeout(Some(PATIENCE))?;
            }
            // `unix_custom` makes none of these.
            LoggerBackend::Udp(..) | LoggerBackend::Tcp(_) => {}
        }
        Ok(logger)
    }
}

/// True if the socket is full.
fn is_full(sent: &io::Result<()>) -> bool {
    matches!(sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Write(error) | Error::Io(error) => error,
        error @ Error::Initialization(_) => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A line without what stands before the program's name.
    fn next(log: &UnixDatagram) -> Option<String> {
        let mut line = [0; 1024];
        let length = log.recv(&mut line).ok()?;
        let line = String::from_utf8_lossy(&line[..length]).into_owned();
        let (_, text) = line.split_once("]: ")?;
        Some(text.to_owned())
    }

    #[test]
    fn a_log_that_hangs_loses_lines_and_does_not_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let reader = UnixDatagram::bind(&path).expect("a socket");
        reader.set_nonblocking(true).expect("it does not wait");
        let mut log = MachineLog::at("local0", vec![path]);
        let now = Instant::now();
        let mut taken = 0;
        while log.write("one", now).is_ok() {
            taken += 1;
        }
        // Now nothing is even tried, until the pause is over.
        assert!(log.write("two", now).is_err());
        let read = std::iter::from_fn(|| next(&reader));
        assert_eq!(read.collect::<Vec<_>>(), vec!["one"; taken]);
        assert!(log.write("three", now).is_err());
        log.write("four", now + PAUSE).expect("it is taken again");
        let read: Vec<_> = std::iter::from_fn(|| next(&reader)).collect();
        assert_eq!(read, ["3 lines were not taken and are lost", "four"]);
    }

    #[test]
    fn a_log_that_was_restarted_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let reader = UnixDatagram::bind(&path).expect("a socket");
        let mut log = MachineLog::at("local0", vec![folder.path().join("none"), path.clone()]);
        log.write("one", Instant::now()).expect("taken");
        assert_eq!(next(&reader).as_deref(), Some("one"));
        drop(reader);
        std::fs::remove_file(&path).expect("it is there");
        assert!(log.write("two", Instant::now()).is_err());
        let reader = UnixDatagram::bind(&path).expect("a socket");
        log.write("three", Instant::now()).expect("taken");
        let lost = "1 lines were not taken and are lost";
        assert_eq!(next(&reader).as_deref(), Some(lost));
        assert_eq!(next(&reader).as_deref(), Some("three"));
    }

    #[test]
    fn a_facility_that_does_not_exist_is_an_error() {
        let mut log = MachineLog::new("nowhere");
        let error = log.write("hello", Instant::now());
        let error = error.expect_err("no such facility");
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
