//! Keywords of a virtual service that its kind of check, its protocol or its scheduler does not use.

use std::time::Duration;

use lvs_api::model::{Protocol, ServiceId};
use lvs_health::checkers::Kind;
use lvs_health::model::{RealServer, Virtual, Weighing};

use super::super::diagnostic::Diagnostic;
use super::super::keywords::{self, Key};
use super::super::reader::Section;
use super::super::settings::{CheckType, Scopes, Settings};
use super::negotiated;

/// Warns of each such keyword that stands below the virtual service.
pub(super) fn keywords(
    section: &Section,
    globals: &Settings,
    service: &Virtual,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let settings = &section.settings;
    let mut warn = |keys: &[Key], why: &str| {
        for key in keys {
            if let Some(entry) = settings.get(*key) {
                let problem = format!("{} has no effect {why}", name(*key));
                diagnostics.push(Diagnostic::warning(entry.line, problem).hint("remove it"));
            }
        }
    };
    let scopes = [settings, globals];
    let scopes = Scopes(&scopes);
    // Check lines have words of their own.
    if settings.get(Key::Check).is_none() {
        let kind = match scopes.check_type(Key::CheckType) {
            Some(CheckType::Connect) => Some("connect"),
            Some(CheckType::Ping) => Some("ping"),
            Some(CheckType::On) => Some("on"),
            Some(CheckType::Off) => Some("off"),
            Some(CheckType::External { .. }) => Some("external"),
            None | Some(CheckType::Negotiate | CheckType::Combined(_)) => None,
        };
        if let Some(kind) = kind {
            let why = format!("with checktype = {kind}");
            warn(&negotiated::all().collect::<Vec<_>>(), &why);
            if !matches!(kind, "connect" | "external") {
                warn(&[Key::CheckPort], &why);
            }
        } else {
            // As the check was made.
            let (port, tcp) = match service.id {
                ServiceId::Address {
                    protocol, address, ..
                } => (address.port(), protocol == Protocol::Tcp),
                ServiceId::Mark { .. } => (0, true),
            };
            let kind = Kind::find(scopes.text(Key::Service), port);
            let unused: Vec<_> = negotiated::unused(kind, scopes, tcp).collect();
            warn(&unused, &format!("with service = {}", kind.name));
        }
    }
    if let ServiceId::Address { protocol, .. } = service.id {
        let (unused, why): (&[Key], _) = match protocol {
            Protocol::Tcp => (&[Key::UdpTimeout], "on a virtual service of TCP"),
            Protocol::Udp => (
                &[Key::TcpTimeout, Key::TcpFinTimeout],
                "on a virtual service of UDP",
            ),
            Protocol::Sctp => (
                &[Key::TcpTimeout, Key::TcpFinTimeout, Key::UdpTimeout],
                "on a virtual service of SCTP",
            ),
        };
        warn(unused, why);
    }
    let scheduler = service.settings.scheduler.as_str();
    let by_time = |weighing: &Weighing| *weighing == Weighing::ResponseTime;
    if matches!(scheduler, "rr" | "lc" | "dh")
        && service
            .servers
            .iter()
            .any(|server| by_time(&server.weighing))
    {
        let why = format!("with scheduler = {scheduler}, which knows no weights");
        warn(&[Key::WeightBy], &why);
    }
    if let Some((hang, time)) = service.servers.iter().find_map(never_hangs) {
        let why = format!("on checks of at most {time:?}: 2.5 times {hang:?} is not less");
        warn(&[Key::HangTimeout], &why);
    }
    if scopes.get(Key::EmailAlert).is_none() {
        warn(
            &[
                Key::EmailAlertFrom,
                Key::EmailAlertFreq,
                Key::EmailAlertStatus,
            ],
            "without emailalert",
        );
    }
}

/// The time after which a server is found to hang, if all of its checks are over before, and theirs.
fn never_hangs(server: &RealServer) -> Option<(Duration, Duration)> {
    let hang = server.rhythm.hang?;
    let longest = server.checks.iter().map(|check| check.timeout).max()?;
    (hang * 5 >= longest * 2).then_some((hang, longest))
}

fn name(key: Key) -> &'static str {
    keywords::all()
        .find(|keyword| keyword.key == key)
        .map_or("", |keyword| keyword.name)
}
