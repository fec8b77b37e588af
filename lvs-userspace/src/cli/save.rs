//! `-S`: the services as command lines that make them again.

use std::io::{self, Write};

use super::listing::mask;
use super::names::{Names, port_protocol};
use super::scheduler_flags;
use crate::control::protocol::{Server, Service};
use crate::model::{Checksum, Method, Protocol, ServiceId, Tunnel};

/// Prints a line for each service and each of its servers.
///
/// Thresholds are not among them: ipvsadm has never saved them, and a file read by it would set none.
pub(super) fn print(out: &mut impl Write, services: &[Service], numeric: bool) -> io::Result<()> {
    let mut names = Names::new(numeric);
    for service in services {
        let name = service_option(&service.id, &mut names);
        writeln!(out, "-A {name} {}", settings(service))?;
        for server in &service.servers {
            let address = names.text(server.id.0, port_protocol(&service.id));
            writeln!(out, "-a {name} -r {address} {}", server_settings(server))?;
        }
    }
    Ok(())
}

fn service_option(id: &ServiceId, names: &mut Names) -> String {
    match *id {
        ServiceId::Address { protocol, address } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", names.text(address, protocol))
        }
        ServiceId::Mark {
            mark,
            family: crate::model::Family::Ipv4,
        } => format!("-f {mark}"),
        ServiceId::Mark {
            mark,
            family: crate::model::Family::Ipv6,
        } => format!("-f {mark} -6"),
    }
}

fn settings(service: &Service) -> String {
    let settings = &service.settings;
    let mut words = vec![format!("-s {}", settings.scheduler)];
    if let Some(persistence) = settings.persistence {
        words.push(format!("-p {}", persistence.timeout));
        let mask = mask(persistence.prefix, service.id.family());
        words.extend(mask.map(|mask| format!("-M {mask}")));
    }
    words.extend(
        settings
            .engine
            .as_ref()
            .map(|engine| format!("--pe {engine}")),
    );
    if settings.one_packet {
        words.push("-o".to_owned());
    }
    let flags = scheduler_flags::to_text(settings.scheduler_flags, &settings.scheduler);
    if !flags.is_empty() {
        words.push(format!("-b {flags}"));
    }
    words.join(" ")
}

fn server_settings(server: &Server) -> String {
    let settings = &server.settings;
    let weight = settings.weight;
    match settings.method {
        Method::Direct | Method::Local => format!("-g -w {weight}"),
        Method::Nat => format!("-m -w {weight}"),
        Method::Tunnel => {
            let tunnel = match settings.tunnel {
                Tunnel::Ipip => "ipip".to_owned(),
                Tunnel::Gue { port, checksum } => {
                    format!("gue --tun-port {port} {}", checksum_option(checksum))
                }
                Tunnel::Gre { checksum } => format!("gre {}", checksum_option(checksum)),
            };
            format!("-i -w {weight} --tun-type {tunnel}")
        }
    }
}

fn checksum_option(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::None => "--tun-nocsum",
        Checksum::Full => "--tun-csum",
        Checksum::Remote => "--tun-remcsum",
    }
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
