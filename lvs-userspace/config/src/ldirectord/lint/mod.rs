//! Lint: files that are valid and yet unlikely to do what was meant. Each finding says how to repair it.

mod commands;
mod negotiated;
mod probes;
mod scopes;
mod unused;

use std::collections::HashMap;
use std::sync::Arc;

use lvs_api::model::{Family, Method, ServiceId};
use lvs_dataplane::director::needs_own_port;
use lvs_health::check::{Check, Kind};
use lvs_health::model::{Configuration, RealServer, Virtual};
use lvs_process::user::User;

use self::probes::Surroundings;
use super::diagnostic::Diagnostic;
use super::keywords::Key;
use super::reader::{File, Section};
use super::settings::{Settings, Value};

/// Finds what is doubtful; takes servers that are named twice out of the configuration. `check_user`: the user of
/// commands for which the file names none.
pub(super) fn lint(
    file: &File,
    check_user: Option<&User>,
    configuration: &mut Configuration,
    diagnostics: &mut Vec<Diagnostic>,
) {
    scopes::globals(&file.globals, diagnostics);
    commands::missing(&file.globals, diagnostics);
    if file.sections.is_empty() {
        diagnostics.push(
            Diagnostic::warning(1, "there is no virtual service in the file")
                .hint("begin one with virtual = host:port"),
        );
    }
    let sections: HashMap<usize, &Section> = file
        .sections
        .iter()
        .map(|section| (section.line, section))
        .collect();
    for service in &mut configuration.virtuals {
        let Some(section) = sections.get(&service.line) else {
            continue;
        };
        let mut lint = Lint {
            section,
            diagnostics,
        };
        lint.duplicates(service);
        lint.service(service);
        lint.servers(service);
        lint.sessions(&file.globals, service);
        scopes::section(section, &file.globals, diagnostics);
        commands::missing(&section.settings, diagnostics);
        unused::keywords(section, &file.globals, service, diagnostics);
        let around = Surroundings {
            globals: &file.globals,
            section,
            check_user,
        };
        probes::probes(around, service, diagnostics);
    }
}

/// Services whose connections are sessions.
const DATABASES: [&str; 2] = ["sql", "redis"];

struct Lint<'a> {
    section: &'a Section,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Lint<'_> {
    /// The line of a keyword of the section, else its own.
    fn line(&self, key: Key) -> usize {
        let entry = self.section.settings.get(key);
        entry.map_or(self.section.line, |entry| entry.line)
    }

    fn warn(&mut self, line: usize, problem: impl Into<String>, hint: &str) {
        self.diagnostics
            .push(Diagnostic::warning(line, problem).hint(hint));
    }

    /// The tables hold a server once.
    fn duplicates(&mut self, service: &mut Virtual) {
        let mut first = HashMap::new();
        let mut repeated = Vec::new();
        service.servers.retain(|server| {
            let line = *first.entry(server.id).or_insert(server.line);
            // The same line may name an address twice only by two names of it.
            let kept = line == server.line;
            if !kept {
                repeated.push((server.line, server.id, line));
            }
            kept
        });
        for (line, id, before) in repeated {
            let problem = format!(
                "the real server {} stands on line {before} already: this one is not used",
                id.0
            );
            self.warn(
                line,
                problem,
                "only masq tells ports of one address apart; remove one of the lines",
            );
        }
    }

    fn service(&mut self, service: &Virtual) {
        let line = service.line;
        if service.servers.is_empty() && self.section.settings.get(Key::Servers).is_some() {
            return;
        }
        if service.servers.is_empty() {
            let hint = if service.fallbacks.is_empty() {
                "add a line real = host:port gate, masq or ipip"
            } else {
                "only its fallback servers will answer; add a line real = …"
            };
            self.warn(line, "the virtual service has no real server", hint);
            return;
        }
        if service.servers.iter().all(|server| server.backup) {
            self.warn(
                line,
                "all real servers are backup servers",
                "take backup=yes from those that are to be used first",
            );
        }
        let weights: u64 = service
            .servers
            .iter()
            .map(|server| u64::from(server.settings.weight))
            .sum();
        if weights == 0 {
            self.warn(
                line,
                "all real servers have weight 0: none gets a connection",
                "give one of them a weight above 0",
            );
        }
        let quorum = u64::from(service.quorum.weight);
        let gained = quorum + u64::from(service.quorum.hysteresis);
        if quorum > 0 && gained > weights {
            let problem = format!(
                "the quorum is gained at a weight of {gained}, but all real servers together have {weights}"
            );
            let line = self.line(Key::Quorum);
            self.warn(line, problem, "lower quorum or hysteresis");
        }
        let weighted = !matches!(service.settings.scheduler.as_str(), "rr" | "lc" | "dh");
        let follows = service.slow_start > std::time::Duration::ZERO;
        if follows && !weighted {
            let line = self.line(Key::SlowStart);
            let problem = format!(
                "slowstart has no effect with scheduler = {}, which knows no weights",
                service.settings.scheduler
            );
            self.warn(line, problem, "use wrr or wlc");
        }
        if service.settings.engine.is_some() {
            let problem = if service.settings.persistence.is_none() {
                Some("persistenceengine has no effect without persistent")
            } else if !is_udp(&service.id) {
                Some("persistenceengine drops what is not UDP: the virtual service is not")
            } else {
                None
            };
            if let Some(problem) = problem {
                let line = self.line(Key::PersistenceEngine);
                self.warn(line, problem, "remove it");
            }
        }
        if service.settings.one_packet && !is_udp(&service.id) {
            let line = self.line(Key::Ops);
            self.warn(
                line,
                "ops = yes has no effect: the virtual service is not UDP",
                "remove it",
            );
        }
    }

    /// Connections to a database are long, and its clients wait for answers: what becomes of them has to be decided.
    fn sessions(&mut self, globals: &Settings, service: &Virtual) {
        let said = [&self.section.settings, globals];
        if said
            .iter()
            .any(|settings| settings.get(Key::OnDown).is_some())
        {
            return;
        }
        let is_database = |check: &Arc<Check>| match &check.kind {
            Kind::Negotiate(checker) | Kind::Combined { checker, .. } => {
                DATABASES.contains(&checker.name())
            }
            _ => false,
        };
        let mut checks = service.servers.iter().flat_map(|server| &server.checks);
        if checks.any(is_database) {
            self.warn(
                service.line,
                "a database without ondown: clients of a server that goes down wait until their own timeouts, and one \
                 that lives keeps their sessions and locks",
                "add ondown = reset (or ondown = keep, if that is meant)",
            );
        }
    }

    fn servers(&mut self, service: &Virtual) {
        for fallback in &service.fallbacks {
            let same = service
                .servers
                .iter()
                .find(|server| server.id == fallback.id);
            // A check that asks for something may ask for a role: the writer of a database is down among its readers,
            // and yet serves while there is no other.
            let asks = |server: &RealServer| {
                let external = |check: &Arc<Check>| matches!(check.kind, Kind::External(_));
                self.asks_for_more(server.line) || server.checks.iter().any(external)
            };
            if let Some(server) = same.filter(|server| !asks(server)) {
                let problem = format!(
                    "the fallback server {} is a real server of this virtual service, too",
                    fallback.id.0
                );
                let line = server.line;
                self.warn(
                    line,
                    problem,
                    "its health checks only ask whether it answers: down, it cannot stand in for itself",
                );
            }
            if let ServiceId::Address { address, .. } = service.id
                && fallback.id.0.ip() == address.ip()
            {
                let line = self.line(match service.id.family() {
                    Family::Ipv4 => Key::Fallback,
                    Family::Ipv6 => Key::Fallback6,
                });
                let problem = format!(
                    "the fallback server {} is the virtual address itself",
                    fallback.id.0
                );
                self.warn(
                    line,
                    problem,
                    "127.0.0.1 (IPv6: ::1) stands for this machine itself; a real server has an address of its own",
                );
            }
        }
        for server in &service.servers {
            if needs_own_port(&service.id, &server.id, server.settings.method) {
                let problem = format!(
                    "{} is an address of this machine, where masq changes no port: clients are not answered",
                    server.id.0
                );
                self.warn(
                    server.line,
                    problem,
                    "have the server listen on the virtual service's port, too, and name that",
                );
            }
        }
        for server in &service.servers {
            let probed = server
                .checks
                .iter()
                .map(|check| check.target.port())
                .find(|port| *port != 0);
            let written = self.section.settings.get(Key::CheckPort).is_none();
            if server.settings.method != Method::Nat
                && matches!(service.id, ServiceId::Address { address, .. } if address.port() != 0)
                && let Some(port) = probed.filter(|port| written && *port != server.id.0.port())
                && !server
                    .checks
                    .iter()
                    .any(|check| matches!(check.kind, Kind::On | Kind::Off))
                && self.names_port(server.line, port)
            {
                let problem = format!(
                    "connections keep port {} on their way to {}: port {port} is only checked",
                    server.id.0.port(),
                    server.id.0.ip()
                );
                self.warn(
                    server.line,
                    problem,
                    "masq changes ports; else write the virtual service's port, and checkport for the check",
                );
            }
        }
    }

    /// Health checks of the server on this line ask for more than an answer: for a role, say.
    fn asks_for_more(&self, line: usize) -> bool {
        const ASKED: [Key; 7] = [
            Key::Request,
            Key::Receive,
            Key::ReceiveNot,
            Key::Row,
            Key::Status,
            Key::Check,
            Key::WeightBy,
        ];
        let settings = &self.section.settings;
        let own = settings
            .entries()
            .iter()
            .find_map(|entry| match &entry.value {
                Value::Real(real) | Value::Servers(real) if entry.line == line => {
                    Some(&real.settings)
                }
                _ => None,
            });
        let mut scopes = std::iter::once(settings).chain(own);
        scopes.any(|settings| ASKED.iter().any(|key| settings.get(*key).is_some()))
    }

    /// The real line itself names this port.
    fn names_port(&self, line: usize, port: u16) -> bool {
        self.section.settings.entries().iter().any(|entry| {
            entry.line == line
                && matches!(&entry.value, Value::Real(real)
                    if real.port == Some(super::address::Port::Number(port)))
        })
    }
}

fn is_udp(id: &ServiceId) -> bool {
    match id {
        ServiceId::Address { protocol, .. } => *protocol == lvs_api::model::Protocol::Udp,
        // Packets of any protocol may have the mark.
        ServiceId::Mark { .. } => true,
    }
}
