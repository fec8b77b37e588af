//! `-S`: services as the command lines that add them.

use std::io::{self, Write};

use lvs_api::model::{
    Checksum, Method, OnDown, Protocol, ServerId, ServerSettings, ServiceId, ServiceSettings,
    Tunnel,
};
use lvs_api::protocol::Service;
use lvs_api::timeouts::Timeouts;

use super::listing::mask;
use super::names::Names;
use super::ports::port_protocol;
use super::scheduler_flags;

/// Prints a line for each service and each of its servers. As in ipvsadm, they lack thresholds.
pub fn print(out: &mut impl Write, services: &[Service], numeric: bool) -> io::Result<()> {
    let mut names = Names::new(numeric);
    for one in services {
        writeln!(out, "-A {}", service(&one.id, &one.settings, &mut names))?;
        for server in &one.servers {
            let line = self::server(&one.id, server.id, &server.settings, &mut names);
            writeln!(out, "-a {line}")?;
        }
    }
    Ok(())
}

/// Options that follow `-A` for a service.
pub fn service(id: &ServiceId, settings: &ServiceSettings, names: &mut Names) -> String {
    format!(
        "{} {}",
        service_option(id, names),
        self::settings(id, settings)
    )
}

/// Options that follow `-a` for a real server, without thresholds.
pub fn server(
    service: &ServiceId,
    id: ServerId,
    settings: &ServerSettings,
    names: &mut Names,
) -> String {
    let service_name = service_option(service, names);
    let address = names.text(id.0, port_protocol(service));
    format!("{service_name} -r {address} {}", server_settings(settings))
}

pub(super) fn service_option(id: &ServiceId, names: &mut Names) -> String {
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
            family: lvs_api::model::Family::Ipv4,
        } => format!("-f {mark}"),
        ServiceId::Mark {
            mark,
            family: lvs_api::model::Family::Ipv6,
        } => format!("-f {mark} -6"),
    }
}

fn settings(id: &ServiceId, settings: &ServiceSettings) -> String {
    let mut words = vec![format!("-s {}", settings.scheduler)];
    if let Some(persistence) = settings.persistence {
        words.push(format!("-p {}", persistence.timeout));
        let mask = mask(persistence.prefix, id.family());
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
    // Options that ipvsadm lacks, where they differ from what it does.
    if settings.redispatch == Some(true) {
        words.push("--redispatch yes".to_owned());
    }
    if let Some(on_down) = settings.on_down.filter(|it| *it != OnDown::Keep) {
        words.push(format!("--ondown {}", on_down.name()));
    }
    if let Some(Timeouts { tcp, tcp_fin, udp }) = settings.timeouts
        && (tcp, tcp_fin, udp) != (0, 0, 0)
    {
        words.push(format!("--idle-timeout {tcp},{tcp_fin},{udp}"));
    }
    words.join(" ")
}

fn server_settings(settings: &ServerSettings) -> String {
    let weight = settings.weight;
    match settings.method {
        Method::Direct | Method::Local => format!("-g -w {weight}"),
        Method::Nat => match settings.snat {
            Some(snat) => format!("-m -w {weight} --snat {snat}"),
            None => format!("-m -w {weight}"),
        },
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
