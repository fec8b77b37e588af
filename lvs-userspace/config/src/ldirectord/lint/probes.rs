//! Checks that can never fail, can never hold, or say less than they seem to.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::super::diagnostic::Diagnostic;
use super::super::keywords::Key;
use super::super::reader::Section;
use super::super::settings::{Settings, Value};
use lvs_api::model::ServiceId;
use lvs_health::check::{Check, Http, Kind, Service, Tls};
use lvs_health::model::{RealServer, Virtual, Weighing};

/// All checks of all servers of a virtual service.
pub(super) fn probes(
    globals: &Settings,
    section: &Section,
    service: &Virtual,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for server in &service.servers {
        let lines: Vec<_> = section.settings.all(Key::Check).collect();
        for (index, check) in server.checks.iter().enumerate() {
            let (line, written) = match lines.get(index).map(|entry| (entry.line, &entry.value)) {
                Some((line, Value::Check(settings))) => (line, Some(settings)),
                _ => (line(section, check), None),
            };
            let mut probe = Probe {
                globals,
                section,
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

/// The line that says most about a check.
fn line(section: &Section, check: &Check) -> usize {
    let keys: &[Key] = match check.kind {
        Kind::External(_) => &[Key::CheckCommand, Key::CheckType],
        Kind::Negotiate(_) => &[Key::Service, Key::CheckType],
        _ => &[Key::CheckType, Key::Service],
    };
    let entry = keys.iter().find_map(|key| section.settings.get(*key));
    entry.map_or(section.line, |entry| entry.line)
}

struct Probe<'a> {
    globals: &'a Settings,
    section: &'a Section,
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

    fn says(&self, key: Key) -> bool {
        self.section.settings.get(key).is_some()
            || self
                .written
                .is_some_and(|written| written.get(key).is_some())
            || self.globals.get(key).is_some()
    }

    fn check(&mut self, check: &Check) {
        let needs_port = !matches!(
            check.kind,
            Kind::On
                | Kind::Off
                | Kind::Ping { .. }
                | Kind::External(_)
                | Kind::Negotiate(Service::None)
        );
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
            Kind::Negotiate(service) | Kind::Combined { service, .. } => self.negotiation(service),
            Kind::External(external) => self.command(&external.command),
            Kind::Connect | Kind::Ping { .. } => {}
        }
    }

    fn command(&mut self, command: &Path) {
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
            self.warn(problem, hint);
        }
    }

    fn negotiation(&mut self, service: &Service) {
        let nothing = "the check can never hold";
        match service {
            Service::None if self.says(Key::Service) => self.warn(
                "the check can never fail: service = none asks nothing",
                "name a service, or use checktype = connect",
            ),
            Service::None => {
                let problem = match self.service.id {
                    ServiceId::Mark { .. } => {
                        "the check can never fail: below a firewall mark no service is known"
                            .to_owned()
                    }
                    ServiceId::Address { address, .. } => format!(
                        "the check can never fail: no service is known for port {}",
                        address.port()
                    ),
                };
                self.warn(problem, "add service = …, or use checktype = connect");
            }
            Service::Http(http) => self.http(http),
            Service::HttpProxy(http) => {
                if !http.request.contains("://") {
                    self.warn(
                        format!("{nothing}: what is asked of a proxy is a whole URL"),
                        "write request = \"http://host/path\"",
                    );
                }
                self.http(http);
            }
            Service::Pop(mailbox) if mailbox.credentials.login.is_empty() => self.warn(
                "without a login the check asks for no more than the greeting",
                "add login and passwd",
            ),
            Service::Ftp {
                request, receive, ..
            } if request.is_empty() || receive.is_none() => self.warn(
                "without request and receive the check asks for no more than a login",
                "add the name of a file and a pattern that is in it",
            ),
            Service::Dns { name, .. } if name.is_empty() => self.warn(
                format!("{nothing}: no name is asked for"),
                "add request = \"name\"",
            ),
            Service::Dns { receive: None, .. } => self.warn(
                "without receive any answer is good (with ldirectord none ever was)",
                "add receive = \"address or name\"",
            ),
            Service::Sql {
                credentials, query, ..
            } => {
                if credentials.login.is_empty() || query.is_empty() {
                    self.warn(
                        "a query needs login and request",
                        "add login, passwd, database and request = \"SELECT …\"",
                    );
                }
                if self.says(Key::Receive) {
                    self.warn("receive is not looked at by this service", "row is");
                }
            }
            Service::Radius {
                credentials,
                secret,
            } if credentials.login.is_empty() || secret.is_empty() => self.warn(
                format!("{nothing}: a login and a secret are needed"),
                "add login, passwd and secret",
            ),
            Service::SimpleTcp { receive: None, .. } => self.warn(
                "without receive any line is good",
                "add receive = \"pattern\"",
            ),
            Service::Ldap { tls: Some(tls), .. } | Service::Tls(tls) => self.tls(tls),
            Service::Pop(mailbox) | Service::Imap(mailbox) => {
                if let Some(tls) = &mailbox.tls {
                    self.tls(tls);
                }
            }
            _ => {}
        }
    }

    fn http(&mut self, http: &Http) {
        if let Some(pattern) = http.receive.as_ref().filter(|_| http.method == "HEAD")
            && !pattern.is_negative()
        {
            self.warn(
                "the check can never hold: there is no body for receive after a HEAD request",
                "use httpmethod = GET, or remove receive",
            );
        }
        if let Some(tls) = &http.tls {
            self.tls(tls);
        }
    }

    fn tls(&mut self, tls: &Tls) {
        match &tls.authorities {
            _ if tls.unverified => {}
            None if self.says(Key::Verify) => {}
            None => self.warn(
                "the server's certificate is verified with the authorities of this machine: one of a private \
                 authority, or of none, means down",
                "name its authority with cafile, or write verify = no; verify = yes says that this is meant",
            ),
            Some(path) if !path.is_file() => {
                let problem = format!("the check can never hold: there is no file {}", path.display());
                self.warn(problem, "cafile names a file of certificates (PEM)");
            }
            Some(_) => {}
        }
    }
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
    // Old files have ten seconds between checks of thirty: only who asks for speed is told.
    if section.settings.get(Key::Interval).is_some() && slowest > rhythm.interval {
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
