//! Health checks that can never fail, can never hold, or check less than they seem to.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lvs_api::model::ServiceId;
use lvs_health::check::{Check, Kind};
use lvs_health::checker::Checker;
use lvs_health::lint::Lint;
use lvs_health::model::{RealServer, Virtual, Weighing};
use lvs_health::probe::external::External;
use lvs_process::user::User;

use super::super::diagnostic::Diagnostic;
use super::super::keywords::Key;
use super::super::reader::Section;
use super::super::settings::{Settings, Value};

/// Permission bits.
const READ: u32 = 4;
const EXECUTE: u32 = 1;

/// All checks of all servers of a virtual service.
pub(super) fn probes(
    around: Surroundings<'_>,
    service: &Virtual,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let section = around.section;
    for server in &service.servers {
        let lines: Vec<_> = section.settings.all(Key::Check).collect();
        for (index, check) in server.checks.iter().enumerate() {
            let (line, written) = match lines.get(index).map(|entry| (entry.line, &entry.value)) {
                Some((line, Value::Check(settings))) => (line, Some(settings)),
                _ => (line(section, check), None),
            };
            let mut probe = Probe {
                around,
                service,
                line,
                written,
                diagnostics,
            };
            probe.check(check);
        }
        rhythm(section, server, diagnostics);
        if server.weighing == Weighing::ExitCode && server.externals().next().is_none() {
            let line = section
                .settings
                .get(Key::WeightBy)
                .map_or(server.line, |entry| entry.line);
            diagnostics.push(
                Diagnostic::warning(
                    line,
                    "weightby = script has no effect without an external check",
                )
                .hint("add checktype = external with its checkcommand"),
            );
        }
    }
}

/// The line that has most to do with a check.
fn line(section: &Section, check: &Check) -> usize {
    let keys: &[Key] = match check.kind {
        Kind::External(_) => &[Key::CheckCommand, Key::CheckType],
        Kind::Negotiate(_) => &[Key::Service, Key::CheckType],
        _ => &[Key::CheckType, Key::Service],
    };
    let entry = keys.iter().find_map(|key| section.settings.get(*key));
    entry.map_or(section.line, |entry| entry.line)
}

/// Everything that the checks of a virtual service have in common.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) globals: &'a Settings,
    pub(super) section: &'a Section,
    /// User of commands for which the file names none; none: there is no such user.
    pub(super) check_user: Option<&'a User>,
}

struct Probe<'a> {
    around: Surroundings<'a>,
    service: &'a Virtual,
    line: usize,
    /// Options of its `check` line.
    written: Option<&'a Settings>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Probe<'_> {
    fn warn(&mut self, problem: impl Into<String>, hint: &str) {
        let warning = Diagnostic::warning(self.line, problem).hint(hint);
        self.diagnostics.push(warning);
    }

    fn has(&self, key: Key) -> bool {
        self.around.section.settings.get(key).is_some()
            || self
                .written
                .is_some_and(|written| written.get(key).is_some())
            || self.around.globals.get(key).is_some()
    }

    fn check(&mut self, check: &Check) {
        let needs_port = match &check.kind {
            Kind::On | Kind::Off | Kind::Ping { .. } | Kind::External(_) => false,
            Kind::Negotiate(checker) => checker.has_port,
            Kind::Connect | Kind::Combined { .. } => true,
        };
        if needs_port && check.target.port() == 0 {
            self.warn(
                "the check can never hold: no port is known for it",
                "add checkport, or write the port on the real line",
            );
        }
        match &check.kind {
            Kind::On => self.warn(
                "the check can never fail: checktype = on asks nothing",
                "use connect or negotiate",
            ),
            Kind::Off => self.warn(
                "the check can never hold: checktype = off makes no server up",
                "use connect or negotiate; a fallback server is used meanwhile",
            ),
            Kind::Negotiate(checker) | Kind::Combined { checker, .. } => self.checker(checker),
            Kind::External(external) => {
                let user = check.user.as_ref().or(self.around.check_user);
                self.command(external, user);
            }
            Kind::Connect | Kind::Ping { .. } => {}
        }
    }

    fn command(&mut self, external: &External, user: Option<&User>) {
        let command = external.command.as_path();
        if command == Path::new("/bin/true") {
            return self.warn(
                "the check can never fail: its command is /bin/true",
                "name yours with checkcommand",
            );
        }
        // A bare name would be looked for in the path.
        if !command.is_absolute() {
            return;
        }
        let runnable = command
            .metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if !runnable {
            let problem = format!(
                "the check can never hold: there is no command {}",
                command.display()
            );
            let hint = if command.to_string_lossy().contains(' ') {
                "the whole value is the path of the command: it takes no arguments"
            } else {
                "put it there and make it executable"
            };
            return self.warn(problem, hint);
        }
        if let Some(user) = user
            && let Some(closed) = closed_to(user, external)
        {
            let problem = format!(
                "the check can never hold: its user {user} may not use {}",
                closed.display()
            );
            return self.warn(
                problem,
                "allow it, for example with chmod o+rx, or name another user with checkuser",
            );
        }
        self.interpreter(command);
    }

    /// A script whose first line names an interpreter that is not there.
    fn interpreter(&mut self, command: &Path) {
        let mut first = Vec::new();
        let read = File::open(command).and_then(|file| file.take(256).read_to_end(&mut first));
        let line = first
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        let (Ok(_), Some(named)) = (read, line.strip_prefix(b"#!")) else {
            return;
        };
        let named = String::from_utf8_lossy(named);
        let interpreter = named
            .trim_start()
            .split([' ', '\t'])
            .next()
            .unwrap_or_default();
        if Path::new(interpreter).exists() {
            return;
        }
        let (shown, hint) = match interpreter.strip_suffix('\r') {
            Some(without) => (
                format!("{without} and a carriage return"),
                "its lines end with CR LF: convert it, for example with sed -i 's/\\r$//'",
            ),
            None => (
                interpreter.to_owned(),
                "name an interpreter that is installed in its first line",
            ),
        };
        let problem = format!(
            "the check can never hold: the interpreter of {} is {shown}, which does not exist",
            command.display()
        );
        self.warn(problem, hint);
    }

    fn checker(&mut self, checker: &Checker) {
        let mut lint = Lint {
            has_service: self.has(Key::Service),
            has_receive: self.has(Key::Receive),
            has_verify: self.has(Key::Verify),
            virtual_port: match self.service.id {
                ServiceId::Mark { .. } => None,
                ServiceId::Address { address, .. } => Some(address.port()),
            },
            ..Lint::default()
        };
        checker.lint(&mut lint);
        for (problem, hint) in lint.findings {
            self.warn(problem, hint);
        }
    }
}

/// The first folder on the way to a command, or the command itself, that its user may not use.
fn closed_to(user: &User, external: &External) -> Option<PathBuf> {
    // Where links lead is what counts.
    let command = external.command.canonicalize().ok()?;
    let mut first = [0; 2];
    let is_program = File::open(&command)
        .and_then(|mut file| file.read_exact(&mut first))
        .is_ok_and(|()| first == *b"\x7fE");
    let needed = match (external.perl, is_program) {
        (true, _) => READ,
        (false, true) => EXECUTE,
        // Whoever interprets a script reads it.
        (false, false) => READ | EXECUTE,
    };
    let mut way: Vec<&Path> = command.ancestors().collect();
    way.reverse();
    let closed = |path: &&Path| {
        let needed = if *path == command { needed } else { EXECUTE };
        path.metadata()
            .is_ok_and(|found| !user.may(needed, found.mode(), found.uid(), found.gid()))
    };
    way.into_iter().find(closed).map(Path::to_owned)
}

fn rhythm(section: &Section, server: &RealServer, diagnostics: &mut Vec<Diagnostic>) {
    let rhythm = server.rhythm;
    let mut warn = |key: Key, problem: String, hint: &str| {
        let line = section
            .settings
            .get(key)
            .map_or(section.line, |entry| entry.line);
        let warning = Diagnostic::warning(line, problem).hint(hint);
        diagnostics.push(warning);
    };
    if rhythm.fast > rhythm.interval {
        let problem = format!(
            "fastinterval ({:?}) is longer than interval ({:?})",
            rhythm.fast, rhythm.interval
        );
        warn(Key::FastInterval, problem, "make it shorter");
    }
    let slowest = server.checks.iter().map(|check| check.timeout).max();
    let slowest = slowest.unwrap_or_default();
    // Old files have ten seconds between checks of thirty: only files with an interval are warned about.
    let interval = section.settings.get(Key::Interval);
    if interval.is_some() && slowest > rhythm.interval {
        let found: Duration =
            rhythm.interval + slowest + (slowest + rhythm.fast) * (rhythm.fall - 1);
        let problem = format!(
            "a probe may take {slowest:?}: a server that hangs is found out after up to {found:?}"
        );
        warn(
            Key::Interval,
            problem,
            "shorten timeoutconnect and timeoutresponse, or checktimeout and negotiatetimeout",
        );
    }
}
