//! The real servers of a virtual service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use std::vec;

use lvs_api::model::{Method, Protocol, ServerId, ServerSettings, ServiceId, Tunnel};
use lvs_api::snat::Snat;
use lvs_common::abi::MAX_MEMBERS_PER_SERVICE;
use lvs_dataplane::director::{canonical_service, check_server, identity, is_unicast};
use lvs_health::model::{RealServer, Rhythm, Weighing};

use super::address::Port;
use super::builder::Builder;
use super::checks::{self, checks};
use super::keywords::Key;
use super::names;
use super::preset;
use super::settings::{RealLine, Scopes, Settings, Value, WeightBy};

/// Most addresses of a range: no virtual service has more real servers.
const LARGEST_RANGE: u32 = MAX_MEMBERS_PER_SERVICE;

/// All of them, in the order of the file.
pub(super) fn servers(
    builder: &mut Builder<'_>,
    id: ServiceId,
    scopes: Scopes<'_>,
) -> Vec<RealServer> {
    let service = checks::Service {
        id,
        name: scopes
            .text(Key::ServiceName)
            .map_or_else(|| text(&id), str::to_owned),
        globals: builder.globals,
        settings: &builder.section.settings,
    };
    let mut servers = Vec::new();
    for entry in service.settings.entries() {
        let Value::Real(real) = &entry.value else {
            continue;
        };
        for address in addresses(builder, real, entry.line) {
            servers.extend(server(builder, &service, real, entry.line, address));
        }
    }
    // Those that stand in the file come first.
    for added in found(builder, &service).chain(by_hand(builder, &service)) {
        if !servers.iter().any(|server| server.id == added.id) {
            servers.push(added);
        }
    }
    servers
}

/// The real servers of names.
fn found(builder: &mut Builder<'_>, service: &checks::Service<'_>) -> vec::IntoIter<RealServer> {
    let mut servers = Vec::new();
    for entry in service.settings.entries() {
        let Value::Servers(line) = &entry.value else {
            continue;
        };
        let query = names::query(&line.host, service.id.family());
        let found = builder.additions.found.get(&query).into_iter().flatten();
        // What a name server says is no error of the file.
        for found in found.filter(|found| is_unicast(found.address)) {
            let weight = found.weight.filter(|_| !line.weighted);
            let real = RealLine {
                host: found.address.to_string(),
                port: found.port.map(Port::Number).or_else(|| line.port.clone()),
                weight: weight.unwrap_or(line.weight),
                ..(**line).clone()
            };
            let server = server(builder, service, &real, entry.line, found.address);
            servers.extend(server.map(|server| RealServer {
                name: Some(query.name.clone()),
                backup: server.backup || found.backup,
                ..server
            }));
        }
    }
    servers.into_iter()
}

/// The real servers that were added by hand.
fn by_hand(builder: &mut Builder<'_>, service: &checks::Service<'_>) -> vec::IntoIter<RealServer> {
    let mut servers = Vec::new();
    let (id, line) = (canonical_service(&service.id), builder.section.line);
    for added in builder
        .additions
        .by_hand
        .iter()
        .filter(|it| it.service == id)
    {
        let address = added.server.0;
        let real = RealLine {
            host: address.ip().to_string(),
            last: None,
            port: Some(Port::Number(address.port())),
            method: added.settings.method,
            weight: added.settings.weight,
            weighted: true,
            lower: added.settings.lower,
            upper: added.settings.upper,
            settings: Settings::default(),
        };
        let server = server(builder, service, &real, line, address.ip());
        servers.extend(server.map(|server| RealServer {
            settings: added.settings,
            ..server
        }));
    }
    servers.into_iter()
}

/// The name of a virtual service that has none.
pub(super) fn text(id: &ServiceId) -> String {
    match id {
        ServiceId::Address { address, .. } => address.to_string(),
        ServiceId::Mark { mark, .. } => mark.to_string(),
    }
}

/// The addresses of a line: one, or a range. Compared as numbers: ldirectord compares them as texts
/// and stops too early where their lengths differ.
fn addresses(builder: &mut Builder<'_>, real: &RealLine, line: usize) -> Vec<IpAddr> {
    let first = builder.address(&real.host, line, "real server");
    let Some(last) = &real.last else {
        return first.into_iter().collect();
    };
    let last = builder.address(last, line, "real server");
    let (first, last) = match (first, last) {
        (Some(IpAddr::V4(first)), Some(IpAddr::V4(last))) => (first.to_bits(), last.to_bits()),
        (Some(_), Some(_)) => {
            builder.error(line, "address range for IPv6", "a line for each server");
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    match last.checked_sub(first) {
        Some(distance) if distance < LARGEST_RANGE => (first..=last)
            .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
            .collect(),
        Some(_) => {
            let expected = format!("{LARGEST_RANGE} at most");
            builder.error(line, "too many addresses in the range", &expected);
            Vec::new()
        }
        None => {
            let problem = format!(
                "invalid range {}->{}: the last address is lower than the first",
                Ipv4Addr::from_bits(first),
                Ipv4Addr::from_bits(last)
            );
            builder.error(line, problem, "the lowest address first");
            Vec::new()
        }
    }
}

fn server(
    builder: &mut Builder<'_>,
    service: &checks::Service<'_>,
    real: &RealLine,
    line: usize,
    address: IpAddr,
) -> Option<RealServer> {
    let protocol = match service.id {
        ServiceId::Address { protocol, .. } => protocol,
        ServiceId::Mark { .. } => Protocol::Tcp,
    };
    let port = match &real.port {
        Some(port) => builder.port(port, protocol, line, "real server")?,
        None => 0,
    };
    let virtual_port = match service.id {
        ServiceId::Address { address, .. } => address.port(),
        ServiceId::Mark { .. } => 0,
    };
    let forwarded = if port == 0 { virtual_port } else { port };
    let id = ServerId(SocketAddr::new(address, forwarded));
    let id = identity(&service.id, &id, real.method);
    let settings = ServerSettings {
        method: real.method,
        weight: real.weight,
        upper: real.upper,
        lower: real.lower,
        tunnel: Tunnel::Ipip,
        snat: snat(real.method, &real.settings, service),
    };
    if let Err(refusal) = check_server(&service.id, &id, &settings) {
        builder.error(line, refusal.message, "");
    }
    let scopes = [&real.settings, service.settings, service.globals];
    let scopes = Scopes(&scopes);
    let by_name = real.last.is_none() && real.host.parse::<IpAddr>().is_err();
    let name = by_name.then(|| real.host.clone());
    let probed = checks::Server {
        line,
        address,
        port,
        upper: real.upper,
        name: name.clone().unwrap_or_else(|| id.0.to_string()),
        method: real.method,
        settings: &real.settings,
    };
    let checks = checks(service, &probed, builder.diagnostics);
    let rhythm = rhythm(scopes, checks.iter().any(|check| check.runs_command()));
    let weighing = match scopes.weight_by(Key::WeightBy).copied() {
        None | Some(WeightBy::Configured) => Weighing::Configured,
        Some(WeightBy::Script) => Weighing::ExitCode,
        Some(WeightBy::Time) => Weighing::ResponseTime,
        Some(WeightBy::Agent(port)) => Weighing::Agent {
            address: SocketAddr::new(address, port),
            interval: scopes.time(Key::AgentInterval).unwrap_or(rhythm.interval),
            send: scopes
                .text(Key::AgentSend)
                .map(|text| text.replace("\\n", "\n")),
        },
    };
    Some(RealServer {
        line,
        id,
        name,
        settings,
        backup: scopes.flag(Key::Backup),
        checks,
        rhythm,
        weighing,
    })
}

/// The sources for a real server: those of its own line, or of the scopes around it if it is behind NAT.
fn snat(method: Method, own: &Settings, service: &checks::Service<'_>) -> Option<Snat> {
    let around = [service.settings, service.globals];
    let inherited = || {
        Scopes(&around)
            .snat(Key::Snat)
            .filter(|_| method == Method::Nat)
    };
    Scopes(&[own]).snat(Key::Snat).or_else(inherited).copied()?
}

/// `commands`: a check of the server runs a command.
fn rhythm(scopes: Scopes<'_>, commands: bool) -> Rhythm {
    let [_, section, globals] = scopes.0 else {
        unreachable!("a server has three scopes");
    };
    let forks = Scopes(&[globals]).flag(Key::Fork);
    // As with ldirectord, whose single process sleeps once for all virtual services.
    let checkinterval = if forks {
        Scopes(&[section, globals]).time(Key::CheckInterval)
    } else {
        Scopes(&[globals]).time(Key::CheckInterval)
    };
    // The words of a preset stand at its line, where no other keyword can be.
    let preset = globals.get(Key::Preset).map(|entry| entry.line);
    let said = |key| {
        let entry = scopes.get(key)?;
        (Some(entry.line) != preset).then_some(key)
    };
    let times = if commands { preset::COMMANDS } else { 1 };
    let of_preset = |key| scopes.time(key).map(|time| time * times);
    let interval = said(Key::Interval)
        .and_then(|key| scopes.time(key))
        .or(checkinterval)
        .or_else(|| of_preset(Key::Interval))
        .unwrap_or(Duration::from_secs(10));
    let fast = match said(Key::FastInterval) {
        Some(key) => scopes.time(key),
        // A preset slows nobody down.
        None => of_preset(Key::FastInterval).map(|fast| fast.min(interval)),
    };
    let fall = said(Key::Fall)
        .or_else(|| said(Key::FailureCount))
        .unwrap_or(Key::Fall);
    let patience = [
        Key::CheckTimeout,
        Key::NegotiateTimeout,
        Key::TimeoutResponse,
        Key::Fall,
        Key::FailureCount,
    ];
    // Whoever says how long an answer may take, or how many failures it takes, means it: a hang counts as several.
    let patient = |key: Key| said(key).is_some() || on_check_line(section, key);
    let hang = said(Key::HangTimeout).or_else(|| {
        let none = !patience.into_iter().any(patient);
        none.then_some(Key::HangTimeout)
    });
    let hang = hang.and_then(|key| scopes.time(key));
    Rhythm {
        interval,
        fast: fast.unwrap_or(interval),
        down: scopes.time(Key::DownInterval).unwrap_or(interval),
        jitter: scopes
            .number(Key::Jitter)
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(0),
        rise: scopes.number(Key::Rise).unwrap_or(1),
        fall: scopes.number(fall).unwrap_or(1),
        hang: hang.filter(|time| !time.is_zero()),
    }
}

/// Returns whether a `check` line of a virtual service has a keyword.
fn on_check_line(section: &Settings, key: Key) -> bool {
    section.all(Key::Check).any(|line| match &line.value {
        Value::Check(own) => own.get(key).is_some(),
        _ => false,
    })
}
