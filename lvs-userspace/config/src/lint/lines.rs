//! Virtual services of a file, printed as lines of ipvsadm.

use std::io::{self, Write};

use lvs_api::model::{ServerId, ServerSettings};
use lvs_dataplane::director;
use lvs_health::check::Kind;
use lvs_health::model::{RealServer, Virtual};
use lvs_ipvsadm::names::Names;
use lvs_ipvsadm::save;

/// Prints the services of rules.
pub(super) fn of_rules(
    configuration: &director::Configuration,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut names = Names::new(true);
    for (id, wanted) in &configuration.services {
        writeln!(
            out,
            "-A {}",
            save::service(id, &wanted.settings, &mut names)
        )?;
        // The newest server is the first.
        for (server, settings) in wanted.servers.iter().rev() {
            line(id, *server, settings, &mut names, out)?;
        }
    }
    Ok(())
}

/// Prints the services of an `ldirectord.cf` as they are while every real server is up.
pub(super) fn of_virtuals(
    configuration: &lvs_health::model::Configuration,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut names = Names::new(true);
    for service in &configuration.virtuals {
        let settings = save::service(&service.id, &service.settings, &mut names);
        writeln!(out, "-A {settings}")?;
        for (server, settings) in in_use(service) {
            line(&service.id, server, settings, &mut names, out)?;
        }
    }
    Ok(())
}

fn line(
    service: &lvs_api::model::ServiceId,
    server: ServerId,
    settings: &ServerSettings,
    names: &mut Names,
    out: &mut impl Write,
) -> io::Result<()> {
    let server = save::server(service, server, settings, names);
    // `ipvsadm -S` prints no thresholds, but `-a` sets them.
    let upper = threshold("-x", settings.upper);
    let lower = threshold("-y", settings.lower);
    writeln!(out, "-a {server}{upper}{lower}")
}

fn threshold(option: &str, value: u32) -> String {
    if value == 0 {
        String::new()
    } else {
        format!(" {option} {value}")
    }
}

/// Real servers; if there is none, the backup servers; if there is none, the fallback servers.
fn in_use(service: &Virtual) -> Vec<(ServerId, &ServerSettings)> {
    let ever_up = |server: &&RealServer| {
        !server
            .checks
            .iter()
            .any(|check| matches!(check.kind, Kind::Off))
    };
    let with = |backup| {
        service
            .servers
            .iter()
            .filter(ever_up)
            .filter(move |server| server.backup == backup)
            .map(|server| (server.id, &server.settings))
    };
    let mut servers: Vec<_> = with(false).collect();
    if servers.is_empty() {
        let most = if service.all_backups { usize::MAX } else { 1 };
        servers = with(true).take(most).collect();
    }
    if servers.is_empty() {
        servers = service
            .fallbacks
            .iter()
            .map(|fallback| (fallback.id, &fallback.settings))
            .collect();
    }
    servers
}
