//! The health checks of a real server, from all scopes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::model::{Method, Protocol, ServiceId};
use lvs_health::check::{Check, Kind, Path};
use lvs_health::checkers;
use lvs_health::probe::external::External;
use lvs_process::user::User;

use super::diagnostic::Diagnostic;
use super::keywords::Key;
use super::options::options;
use super::settings::{CheckType, Scopes, Settings, WeightBy};

/// The virtual service that servers are checked for.
pub(super) struct Service<'a> {
    pub(super) id: ServiceId,
    pub(super) name: String,
    pub(super) globals: &'a Settings,
    pub(super) settings: &'a Settings,
}

/// The real server.
pub(super) struct Server<'a> {
    pub(super) line: usize,
    pub(super) address: IpAddr,
    /// As it is written; 0 if it is not.
    pub(super) port: u16,
    pub(super) upper: u32,
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) settings: &'a Settings,
}

impl Service<'_> {
    /// The virtual port; a firewall mark has none.
    fn port(&self) -> u16 {
        match self.id {
            ServiceId::Address { address, .. } => address.port(),
            ServiceId::Mark { .. } => 0,
        }
    }

    /// Protocol that is probed with; marks count as TCP.
    pub(super) fn protocol(&self) -> Protocol {
        match self.id {
            ServiceId::Address { protocol, .. } => protocol,
            ServiceId::Mark { .. } => Protocol::Tcp,
        }
    }
}

/// All checks of a server.
pub(super) fn checks(
    service: &Service<'_>,
    server: &Server<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Arc<Check>> {
    let none = Settings::default();
    let mut lines: Vec<_> = service
        .settings
        .all(Key::Check)
        .filter_map(|entry| match &entry.value {
            super::settings::Value::Check(settings) => Some((entry.line, settings)),
            _ => None,
        })
        .collect();
    if lines.is_empty() {
        lines.push((server.line, &none));
    }
    let one = |(line, check): (usize, &Settings)| {
        let scopes = [check, server.settings, service.settings, service.globals];
        self::check(service, server, Scopes(&scopes), line, diagnostics)
    };
    lines.into_iter().map(one).map(Arc::new).collect()
}

fn check(
    service: &Service<'_>,
    server: &Server<'_>,
    scopes: Scopes<'_>,
    line: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Check {
    let tcp = service.protocol() == Protocol::Tcp;
    let negotiated = checkers::Kind::find(scopes.text(Key::Service), service.port());
    let mut checker = || {
        let options = options(scopes, tcp, line, diagnostics);
        (negotiated.make)(&options)
    };
    let kind = match scopes.check_type(Key::CheckType).copied() {
        Some(CheckType::On) => Kind::On,
        Some(CheckType::Off) => Kind::Off,
        // There is no connection to be made.
        Some(CheckType::Connect) if !tcp => ping(scopes),
        Some(CheckType::Connect) => Kind::Connect,
        Some(CheckType::Ping) => ping(scopes),
        Some(CheckType::External { perl }) => {
            Kind::External(external(perl, service, server, scopes))
        }
        // Where there are no connections every check negotiates.
        Some(CheckType::Combined(connects)) if tcp => Kind::Combined {
            checker: checker(),
            connects,
        },
        None | Some(CheckType::Negotiate | CheckType::Combined(_)) => Kind::Negotiate(checker()),
    };
    let (connect_timeout, timeout) = timeouts(&kind, scopes);
    let port = match kind {
        Kind::On | Kind::Off | Kind::Ping { .. } => 0,
        _ => port(negotiated, service, server, scopes),
    };
    let path = path(service, server, &kind, scopes, port, line, diagnostics);
    let check = Check {
        kind,
        target: SocketAddr::new(server.address, port),
        path,
        source: scopes.address(Key::CheckSource).copied(),
        user: None,
        connect_timeout,
        timeout,
    };
    let user = check.runs_command().then(|| user(scopes, diagnostics));
    Check {
        user: user.flatten(),
        ..check
    }
}

/// The user that a command runs as, if one is named.
fn user(scopes: Scopes<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<User> {
    let entry = scopes.get(Key::CheckUser)?;
    match User::find(scopes.text(Key::CheckUser)?) {
        Ok(user) => Some(user),
        Err(error) => {
            let error = Diagnostic::error(entry.line, format!("checkuser: {error}"));
            let error = error.expected("USER or USER:GROUP");
            if !diagnostics.contains(&error) {
                diagnostics.push(error);
            }
            None
        }
    }
}

fn ping(scopes: Scopes<'_>) -> Kind {
    Kind::Ping {
        attempts: scopes.number(Key::CheckCount).unwrap_or(1),
    }
}

/// The port that is checked: the one named for checks, the server's, the service's, the virtual one.
fn port(
    negotiated: &checkers::Kind,
    service: &Service<'_>,
    server: &Server<'_>,
    scopes: Scopes<'_>,
) -> u16 {
    let named = scopes.number(Key::CheckPort);
    let named = named.and_then(|port| u16::try_from(port).ok());
    let own = Some(server.port).filter(|port| *port != 0);
    named
        .or(own)
        .or_else(|| negotiated.port())
        .unwrap_or(service.port())
}

/// Longest times until the connection, and for the whole.
fn timeouts(kind: &Kind, scopes: Scopes<'_>) -> (Duration, Duration) {
    let check = scopes
        .either_time(Key::CheckTimeout, Key::NegotiateTimeout)
        .unwrap_or(Duration::from_secs(5));
    let negotiate = scopes
        .either_time(Key::NegotiateTimeout, Key::CheckTimeout)
        .unwrap_or(Duration::from_secs(30));
    let whole = match kind {
        Kind::Negotiate(checker) if checker.has_check_timeout => check,
        Kind::Negotiate(_) | Kind::Combined { .. } => negotiate,
        _ => check,
    };
    let until_connected = match kind {
        Kind::Combined { .. } => check.min(whole),
        _ => whole,
    };
    let connect = scopes.time(Key::TimeoutConnect).unwrap_or(until_connected);
    let whole = match (scopes.time(Key::TimeoutResponse), kind) {
        // Each echo request has the time of a check.
        (_, Kind::Ping { attempts }) => return (check, check * *attempts),
        (Some(response), _) => connect + response,
        (None, _) => whole.max(connect),
    };
    (connect, whole)
}

fn path(
    service: &Service<'_>,
    server: &Server<'_>,
    kind: &Kind,
    scopes: Scopes<'_>,
    asked: u16,
    line: usize,
    diagnostics: &mut Vec<Diagnostic>,
) -> Path {
    if scopes.text(Key::CheckPath) != Some("service") {
        return Path::Own;
    }
    if let Some(who) = connects_by_itself(kind) {
        let problem = format!("checkpath = service has no effect: {who} connects by itself");
        diagnostics.push(Diagnostic::warning(line, problem).hint("leave it out"));
        return Path::Own;
    }
    match (service.id, server.method) {
        (ServiceId::Address { address, .. }, Method::Direct | Method::Tunnel) => {
            let named = scopes.number(Key::CheckPort);
            let port = named.and_then(|port| u16::try_from(port).ok());
            // Neither method changes the port of packets. A service of all ports has none.
            let virtual_port = Some(address.port()).filter(|port| *port != 0);
            Path::Service {
                address: SocketAddr::new(address.ip(), port.or(virtual_port).unwrap_or(asked)),
                method: server.method,
            }
        }
        (ServiceId::Mark { .. }, _) => {
            let error = Diagnostic::error(line, "checkpath = service below a firewall mark");
            diagnostics.push(error.expected("a virtual service with an address"));
            Path::Own
        }
        _ => {
            let problem = format!(
                "{} is reached by masq: checkpath = service has no effect on it",
                server.name
            );
            diagnostics.push(Diagnostic::warning(line, problem));
            Path::Own
        }
    }
}

/// The program whose connections are not made here.
fn connects_by_itself(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::External(_) => Some("an external command"),
        Kind::Negotiate(checker) | Kind::Combined { checker, .. } => checker.program,
        _ => None,
    }
}

fn external(
    perl: bool,
    service: &Service<'_>,
    server: &Server<'_>,
    scopes: Scopes<'_>,
) -> External {
    let command = scopes.text(Key::CheckCommand).unwrap_or("/bin/true");
    let virtual_address = match service.id {
        ServiceId::Address { address, .. } => address.ip().to_string(),
        ServiceId::Mark { mark, .. } => mark.to_string(),
    };
    External {
        command: PathBuf::from(command),
        perl,
        virtual_address,
        virtual_port: service.port(),
        server_address: server.address,
        server_port: server.port,
        max_connections: server.upper,
        protocol: service.protocol(),
        service_name: service.name.clone(),
        server_name: server.name.clone(),
        weighs: scopes.weight_by(Key::WeightBy) == Some(&WeightBy::Script),
    }
}
