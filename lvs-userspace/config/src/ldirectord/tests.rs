//! The meaning of files, and the diagnostics of wrong ones.

mod fuzz;
mod inheritance;
mod lint;
mod meaning;
mod page;

use std::net::IpAddr;

use lvs_api::model::Family;
use lvs_health::model::{Configuration, RealServer, Virtual};

use super::{Diagnostic, Reading, Severity, parse_with};

/// Names of a network that does not change.
fn resolver(name: &str, family: Family) -> Result<IpAddr, String> {
    let address = match (name, family) {
        ("web1", Family::Ipv4) => "10.0.0.1",
        ("web3", Family::Ipv4) => "10.0.0.3",
        ("www", Family::Ipv4) => "192.0.2.10",
        ("web1", Family::Ipv6) => "2001:db8::1",
        _ => return Err("no such name".to_owned()),
    };
    Ok(address.parse().expect("an address"))
}

fn parse(text: &str) -> Reading {
    parse_with(text, &resolver)
}

/// A file that is right.
fn configuration(text: &str) -> Configuration {
    let reading = parse(text);
    let diagnostics = reading.diagnostics;
    reading
        .configuration
        .unwrap_or_else(|| panic!("{text}\n{diagnostics:#?}"))
}

/// The only virtual service of a file.
fn only(text: &str) -> Virtual {
    let mut virtuals = configuration(text).virtuals;
    assert_eq!(virtuals.len(), 1, "{text}");
    virtuals.remove(0)
}

/// The only real server of a virtual service with these lines below it.
fn server(lines: &[&str]) -> RealServer {
    let mut servers = only(&section(lines)).servers;
    assert_eq!(servers.len(), 1, "{lines:?}");
    servers.remove(0)
}

/// A virtual service with these lines below it.
fn section(lines: &[&str]) -> String {
    let lines = lines.join("\n    ");
    format!("virtual = 192.0.2.10:80\n    {lines}\n")
}

/// Lines and texts of all diagnostics of a kind.
fn told(text: &str, severity: Severity) -> Vec<(usize, String)> {
    parse(text)
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == severity)
        .map(|diagnostic: &Diagnostic| (diagnostic.line, diagnostic.to_string()))
        .collect()
}
