//! From sections to virtual services: names have addresses, and defaults are filled in.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lvs_api::filter::{Filter, Limits};
use lvs_api::model::{
    Family, Method, Persistence, Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings,
    Tunnel,
};
use lvs_api::timeouts::Timeouts;
use lvs_common::abi::{MAX_MEMBERS_PER_SERVICE, MAX_SERVERS, MAX_SERVICES};
use lvs_dataplane::director::{OnDown, check_service, identity};
use lvs_health::model::{
    Alerts, Configuration, Fallback, Globals, Observe, OnError, Quorum, Virtual,
};
use lvs_ipvsadm::{address, scheduler_flags};

use super::additions::Additions;
use super::address::Port;
use super::builder::Builder;
use super::diagnostic::Diagnostic;
use super::foreign;
use super::keywords::Key;
use super::names::{self, Names};
use super::reader::{File, Target};
use super::servers;
use super::settings::{Entry, Scopes, Settings, Value};

/// Makes the configuration of a file; what is wrong is added to `diagnostics`, and what is wrong is
/// left out of the configuration.
pub(super) fn build(
    file: &File,
    names: &Names,
    additions: &Additions,
    diagnostics: &mut Vec<Diagnostic>,
) -> Configuration {
    let mut seen = HashSet::new();
    let mut virtuals = Vec::with_capacity(file.sections.len());
    for section in &file.sections {
        let mut builder = Builder {
            globals: &file.globals,
            section,
            names,
            additions,
            diagnostics,
        };
        let Some(one) = builder.service() else {
            continue;
        };
        if seen.insert(one.id) {
            virtuals.push(one);
        } else {
            let error = Diagnostic::error(section.line, "duplicate virtual server");
            diagnostics.push(error.hint("put the real servers below the first one"));
        }
    }
    limits(&virtuals, diagnostics);
    Configuration {
        globals: globals(&file.globals, diagnostics),
        virtuals,
    }
}

/// The capacity of the tables. The error stands where they are full.
fn limits(virtuals: &[Virtual], diagnostics: &mut Vec<Diagnostic>) {
    if let Some(service) = virtuals.get(MAX_SERVICES as usize) {
        let error = Diagnostic::error(service.line, "too many virtual services");
        diagnostics.push(error.expected(format!("{MAX_SERVICES} at most")));
    }
    let mut total = 0;
    for service in virtuals {
        let count = service.servers.len() + service.fallbacks.len();
        if count > MAX_MEMBERS_PER_SERVICE as usize {
            let problem = "too many real servers in a virtual service";
            let error = Diagnostic::error(service.line, problem);
            diagnostics.push(error.expected(format!("{MAX_MEMBERS_PER_SERVICE} at most")));
        }
        let before = total;
        total += count;
        if before <= MAX_SERVERS as usize && total > MAX_SERVERS as usize {
            let error = Diagnostic::error(service.line, "too many real servers in the file");
            diagnostics.push(error.expected(format!("{MAX_SERVERS} at most")));
        }
    }
}

fn globals(settings: &Settings, diagnostics: &mut Vec<Diagnostic>) -> Globals {
    let scopes = [settings];
    let scopes = Scopes(&scopes);
    let maintenance = settings.get(Key::MaintenanceDir);
    if let Some(entry) = maintenance
        && let Some(path) = scopes.text(Key::MaintenanceDir)
        && !Path::new(path).is_dir()
    {
        diagnostics.push(
            Diagnostic::warning(entry.line, "maintenance directory does not exist")
                .hint(format!("make it: mkdir {path}")),
        );
    }
    let some = |key| {
        scopes
            .text(key)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Globals {
        autoreload: scopes.flag(Key::Autoreload),
        callback: some(Key::Callback),
        event_command: some(Key::EventCommand),
        execute: executed(settings)
            .into_iter()
            .map(|(_, file)| file)
            .collect(),
        logfile: some(Key::LogFile),
        supervised: scopes.flag(Key::Supervised),
        maintenance: scopes.text(Key::MaintenanceDir).map(PathBuf::from),
    }
}

/// The files that are named by `execute`, each with its line.
pub(super) fn executed(globals: &Settings) -> Vec<(usize, String)> {
    let file = |entry: &Entry| match &entry.value {
        Value::Text(file) if !file.is_empty() => Some((entry.line, file.clone())),
        _ => None,
    };
    globals.all(Key::Execute).filter_map(file).collect()
}

impl Builder<'_> {
    fn service(&mut self) -> Option<Virtual> {
        let section = self.section;
        let scopes = [&section.settings, self.globals];
        let scopes = Scopes(&scopes);
        let id = self.id(scopes)?;
        let settings = self.settings(id, scopes);
        let servers = servers::servers(self, id, scopes);
        Some(Virtual {
            line: section.line,
            id,
            settings,
            servers,
            names: self.server_names(),
            fallbacks: self.fallbacks(id, scopes),
            fallback_command: scopes.text(Key::FallbackCommand).map(str::to_owned),
            quiescent: scopes.flag(Key::Quiescent),
            readd_quiescent: scopes.flag(Key::ReaddQuiescent),
            clean_stop: scopes.flag_of(Key::CleanStop).copied().unwrap_or(true),
            on_down: on_down(scopes),
            observe: observe(scopes),
            quorum: quorum(scopes),
            all_backups: scopes.flag(Key::AllBackups),
            slow_start: scopes.time(Key::SlowStart).unwrap_or_default(),
            alerts: alerts(scopes),
            monitor_file: self.monitor_file(scopes),
            service_name: scopes.text(Key::ServiceName).map(str::to_owned),
            comment: scopes.text(Key::Comment).map(str::to_owned),
        })
    }

    /// The names of `servers` lines.
    fn server_names(&self) -> Vec<String> {
        let lines = self.section.settings.all(Key::Servers);
        let names = lines.filter_map(|entry| match &entry.value {
            Value::Servers(line) => Some(names::query(&line.host, self.section.family).name),
            _ => None,
        });
        names.collect()
    }

    fn id(&mut self, scopes: Scopes<'_>) -> Option<ServiceId> {
        let section = self.section;
        let word = scopes.text(Key::Protocol);
        let (host, port) = match &section.target {
            Target::Wrong => return None,
            Target::Mark(mark) => {
                if word.is_some_and(|word| word != "fwm") {
                    let line = self.line(Key::Protocol);
                    self.error(line, "protocol of a firewall mark", "fwm, or none");
                }
                return Some(ServiceId::Mark {
                    mark: *mark,
                    family: section.family,
                });
            }
            Target::Address { host, port } => (host, port),
        };
        let by_port = match port {
            Port::Number(53) => Protocol::Udp,
            Port::Name(name) if name == "domain" => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let protocol = match word {
            None => by_port,
            Some("udp") => Protocol::Udp,
            Some("sctp") => Protocol::Sctp,
            Some("fwm") => {
                let line = self.line(Key::Protocol);
                let problem = "protocol is fwm, but the virtual service is an address and port";
                self.error(line, problem, "tcp, udp or sctp");
                by_port
            }
            Some(_) => Protocol::Tcp,
        };
        if host == "*" || host == "0.0.0.0" || host == "::" {
            let problem = format!("\"{host}\" is no address of a virtual service");
            let expected =
                "the address that clients use, one virtual service for each; or a firewall mark";
            self.error(section.line, problem, expected);
            return None;
        }
        let address = self.address(host, section.line, "virtual service");
        let port = self.port(port, protocol, section.line, "virtual service");
        Some(ServiceId::Address {
            protocol,
            address: SocketAddr::new(address?, port?),
        })
    }

    fn settings(&mut self, id: ServiceId, scopes: Scopes<'_>) -> ServiceSettings {
        let scheduler = scopes.text(Key::Scheduler).unwrap_or("wrr").to_owned();
        let flags = scopes.text(Key::SchedFlags).unwrap_or_default();
        let scheduler_flags = match scheduler_flags::from_text(flags, &scheduler) {
            Ok(flags) => flags,
            Err(error) => {
                let line = self.line(Key::SchedFlags);
                self.error(line, error.to_string(), "flags as ipvsadm -b takes them");
                0
            }
        };
        let seconds = scopes
            .time(Key::Persistent)
            .map_or(0, |time| time.as_secs());
        let prefix = self.prefix(id.family(), scopes);
        let persistence = u32::try_from(seconds)
            .ok()
            .filter(|timeout| *timeout != 0)
            .map(|timeout| Persistence { timeout, prefix });
        let settings = ServiceSettings {
            scheduler,
            scheduler_flags,
            persistence,
            one_packet: scopes.flag(Key::Ops),
            redispatch: Some(scopes.flag(Key::Redispatch)),
            on_down: Some(on_down(scopes)),
            timeouts: Some(timeouts(scopes)),
            engine: scopes
                .text(Key::PersistenceEngine)
                .filter(|engine| *engine != "no")
                .map(str::to_owned),
            filter: Some(self.filter(id.family(), scopes)),
        };
        if let Err(refusal) = check_service(&id, &settings) {
            let line = self.line(Key::Scheduler);
            let here = foreign::scheduler(&settings.scheduler)
                .map(|here| format!("{here} for {}", settings.scheduler));
            self.error(line, refusal.message, &here.unwrap_or_default());
        }
        settings
    }

    fn filter(&mut self, family: Family, scopes: Scopes<'_>) -> Filter {
        let limit = |key| scopes.number(key).unwrap_or(0);
        let longest = match family {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        };
        let prefix = scopes.number(Key::LimitPrefix);
        if prefix.is_some_and(|prefix| prefix > longest) {
            let line = self.line(Key::LimitPrefix);
            let expected = format!("a number from 1 to {longest}");
            self.error(line, "limitprefix is too long", &expected);
        }
        Filter {
            allow: scopes.sources(Key::Allow),
            deny: scopes.sources(Key::Deny).unwrap_or_default(),
            limits: Limits {
                new_per_second: limit(Key::LimitNew),
                open: limit(Key::LimitOpen),
                packets_per_second: limit(Key::LimitPackets),
                prefix: prefix
                    .filter(|prefix| *prefix <= longest)
                    .and_then(|prefix| u8::try_from(prefix).ok()),
            },
        }
    }

    fn prefix(&mut self, family: Family, scopes: Scopes<'_>) -> u8 {
        let single = match family {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        };
        let Some(mask) = scopes.text(Key::Netmask) else {
            return single;
        };
        let prefix = match family {
            Family::Ipv4 => address::prefix(mask).filter(|_| mask.contains('.')),
            Family::Ipv6 => mask
                .parse()
                .ok()
                .filter(|prefix| (1..=128).contains(prefix)),
        };
        prefix.unwrap_or_else(|| {
            let expected = match family {
                Family::Ipv4 => "a mask in dotted quad notation, as in 255.255.255.0",
                Family::Ipv6 => "a prefix length between 1 and 128",
            };
            let line = self.line(Key::Netmask);
            self.error(line, format!("invalid netmask \"{mask}\""), expected);
            single
        })
    }

    fn fallbacks(&mut self, id: ServiceId, scopes: Scopes<'_>) -> Vec<Fallback> {
        let key = match id.family() {
            Family::Ipv4 => Key::Fallback,
            Family::Ipv6 => Key::Fallback6,
        };
        let (Some(entry), Some(lines)) = (scopes.get(key), scopes.fallbacks(key)) else {
            return Vec::new();
        };
        let (protocol, virtual_port) = match id {
            ServiceId::Address { protocol, address } => (protocol, address.port()),
            ServiceId::Mark { .. } => (Protocol::Tcp, 0),
        };
        let mut fallbacks = Vec::new();
        for line in lines {
            let address = self.address(&line.host, entry.line, "fallback server");
            let port = match &line.port {
                Some(port) => self.port(port, protocol, entry.line, "fallback server"),
                None => Some(virtual_port),
            };
            let (Some(address), Some(port)) = (address, port) else {
                continue;
            };
            let server = ServerId(SocketAddr::new(address, port));
            fallbacks.push(Fallback {
                id: identity(&id, &server, line.method),
                settings: ServerSettings {
                    method: line.method,
                    weight: 1,
                    upper: 0,
                    lower: 0,
                    tunnel: Tunnel::Ipip,
                    snat: (line.method == Method::Nat)
                        .then(|| scopes.snat(Key::Snat).copied().flatten())
                        .flatten(),
                },
            });
        }
        fallbacks
    }

    fn monitor_file(&mut self, scopes: Scopes<'_>) -> Option<PathBuf> {
        let path = PathBuf::from(scopes.text(Key::MonitorFile)?);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            let line = self.line(Key::MonitorFile);
            let problem = format!("unable to open monitorfile {}", path.display());
            self.error(line, problem, "a file in a directory that is there");
        }
        Some(path)
    }
}

fn on_down(scopes: Scopes<'_>) -> OnDown {
    let name = scopes.text(Key::OnDown).unwrap_or_default();
    OnDown::from_name(name).unwrap_or_default()
}

fn observe(scopes: Scopes<'_>) -> Option<Observe> {
    let path = scopes.text(Key::Observe) == Some("path");
    path.then(|| Observe {
        max_fails: scopes.number(Key::MaxFails).unwrap_or(10),
        fail_timeout: scopes
            .time(Key::FailTimeout)
            .unwrap_or(Duration::from_secs(10)),
        on_error: OnError::from_name(scopes.text(Key::OnError).unwrap_or_default())
            .unwrap_or_default(),
    })
}

fn timeouts(scopes: Scopes<'_>) -> Timeouts {
    let seconds = |key| {
        let time = scopes.time(key).unwrap_or_default();
        // The tables count whole seconds; a part of one is not none.
        u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
    };
    Timeouts {
        tcp: seconds(Key::TcpTimeout),
        tcp_fin: seconds(Key::TcpFinTimeout),
        udp: seconds(Key::UdpTimeout),
    }
}

fn quorum(scopes: Scopes<'_>) -> Quorum {
    Quorum {
        weight: scopes.number(Key::Quorum).unwrap_or(0),
        hysteresis: scopes.number(Key::Hysteresis).unwrap_or(0),
        up_command: scopes.text(Key::QuorumUp).map(str::to_owned),
        down_command: scopes.text(Key::QuorumDown).map(str::to_owned),
    }
}

fn alerts(scopes: Scopes<'_>) -> Alerts {
    Alerts {
        to: scopes
            .mailboxes(Key::EmailAlert)
            .cloned()
            .unwrap_or_default(),
        from: scopes.text(Key::EmailAlertFrom).map(str::to_owned),
        repeat: scopes.time(Key::EmailAlertFreq).unwrap_or(Duration::ZERO),
        phases: scopes
            .phases(Key::EmailAlertStatus)
            .copied()
            .unwrap_or_default(),
        smtp: scopes.text(Key::Smtp).map(str::to_owned),
    }
}
