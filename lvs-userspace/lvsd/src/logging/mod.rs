//! Log of a daemon without a terminal: to a file, to syslog, or to the standard output for a supervisor, in
//! ldirectord's format, for whatever reads such logs.

pub(crate) mod journal;
mod line;
mod machine;
pub(crate) mod queue;
mod target;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use self::line::ctime;
pub(crate) use self::line::{escaped, is_for_the_journal};
use self::target::{Sink, Target};

/// Logs an error that may have several lines, as the errors of a file have: each is an event.
pub(crate) fn error_lines(error: &str) {
    for line in error.lines() {
        tracing::error!("{line}");
    }
}

/// The log of this process. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<LogState>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

struct LogState {
    sink: Sink,
    /// Warnings and errors go to the standard error output as well: the starter waits for the daemon to be
    /// ready.
    starting: bool,
}

impl Log {
    /// A log of this instance. Lines are queued until its file is read, which names the destination.
    pub(crate) fn new(instance: &str) -> Self {
        Self::with(Sink::new(instance))
    }

    /// A log on the standard output, whatever the file names.
    pub(crate) fn supervised() -> Self {
        Self::with(Sink::stdout())
    }

    fn with(sink: Sink) -> Self {
        Self(Arc::new(Mutex::new(LogState {
            sink,
            starting: true,
        })))
    }

    /// Follows the `logfile` of a configuration file.
    pub(crate) fn follow(&self, logfile: Option<&str>) {
        let (log, target) = (self.clone(), Target::parse(logfile));
        queue::run_surely(move || log.state().sink.move_to(target));
    }

    /// Writes lines that are still queued to the default file: the configuration file could not be used.
    pub(crate) fn flush(&self) {
        let log = self.clone();
        queue::run_surely(move || {
            let mut state = log.state();
            if state.sink.is_queueing() {
                state.sink.move_to(Target::parse(None));
            }
        });
    }

    /// Ends the copy of warnings and errors on the standard error output.
    pub(crate) fn started(&self) {
        let log = self.clone();
        queue::run_surely(move || log.state().starting = false);
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.0.lock()
    }

    fn write(&self, level: Level, time: &str, message: &str) {
        let mut state = self.state();
        let written = state.sink.write(time, message);
        // The only output left; an error there cannot be reported anywhere.
        if written.is_err() || (state.starting && level <= Level::WARN) {
            use std::io::Write as _;
            drop(writeln!(std::io::stderr(), "{message}"));
        }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let (log, level) = (self.clone(), *event.metadata().level());
        let (time, text) = (ctime(), line::text(event));
        queue::run(move || log.write(level, &time, &text));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_of_a_file_name_time_instance_and_process_and_the_file_may_be_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ldirectord.log");
        let log = Log::new("www.cf");
        log.started();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("early");
            log.follow(path.to_str());
            log.flush();
            tracing::info!("Deleted real server: {}", "10.0.0.1:80 (10.0.0.9:80)");
            // As logrotate does.
            std::fs::rename(&path, folder.path().join("ldirectord.log.1")).unwrap();
            tracing::warn!(count = 3, lvs_event = "up", "odd");
            log.follow(folder.path().join("other").to_str());
            tracing::info!("there");
        });
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let first = read("ldirectord.log.1");
        let (early, first) = first.split_once('\n').unwrap();
        assert!(early.ends_with("] early"), "{early}");
        let (prefix, text) = first.split_once("] ").unwrap();
        assert_eq!(text, "Deleted real server: 10.0.0.1:80 (10.0.0.9:80)\n");
        let parts: Vec<_> = prefix.trim_start_matches('[').split('|').collect();
        // Sat Nov 21 16:06:17 2026
        assert_eq!(parts[0].len(), 24, "{first}");
        assert_eq!(parts[1..], ["www.cf", &std::process::id().to_string()]);
        assert!(read("ldirectord.log").ends_with("] odd count=3\n"));
        assert!(read("other").ends_with("] there\n"));
    }
}
