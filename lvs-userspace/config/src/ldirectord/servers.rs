//! The real servers of a virtual service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lvs_api::model::{Method, Protocol, ServerId, ServerSettings, ServiceId, Tunnel};
use lvs_api::snat::Snat;
use lvs_common::abi::MAX_MEMBERS_PER_SERVICE;
use lvs_dataplane::director::{check_server, identity};
use lvs_health::model::{RealServer, Rhythm, Weighing};

use super::builder::Builder;
use super::checks::{self, checks};
use super::keywords::Key;
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
    servers
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
    let rhythm = rhythm(scopes);
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
    Some(RealServer {
        line,
        id,
        name,
        settings,
        backup: scopes.flag(Key::Backup),
        checks: checks(service, &probed, builder.diagnostics),
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

fn rhythm(scopes: Scopes<'_>) -> Rhythm {
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
    let interval = scopes
        .time(Key::Interval)
        .or(checkinterval)
        .unwrap_or(Duration::from_secs(10));
    let count = |new, old| scopes.number(new).or_else(|| scopes.number(old));
    Rhythm {
        interval,
        fast: scopes.time(Key::FastInterval).unwrap_or(interval),
        down: scopes.time(Key::DownInterval).unwrap_or(interval),
        jitter: scopes
            .number(Key::Jitter)
            .and_then(|percent| u8::try_from(percent).ok())
            .unwrap_or(0),
        rise: scopes.number(Key::Rise).unwrap_or(1),
        fall: count(Key::Fall, Key::FailureCount).unwrap_or(1),
    }
}
