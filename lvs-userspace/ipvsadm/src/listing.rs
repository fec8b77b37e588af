//! `-L`: services and their servers in ipvsadm's columns.

use std::io::{self, Write};

use lvs_api::model::{
    Checksum, Family, Method, Protocol, ServerSettings, ServiceId, ServiceSettings, Tunnel,
};
use lvs_api::protocol::{Server, Service, Services, Traffic};

use super::address::netmask;
use super::command::{Listing, View};
use super::names::Names;
use super::ports::port_protocol;
use super::scheduler_flags;

/// Length at which the text of an IPv4 address with port is cut; IPv6 is never cut.
const IPV4_WIDTH: usize = 28;

/// Prints all services, below the line with the table's size.
pub fn print_all(out: &mut impl Write, services: &Services, how: Listing) -> io::Result<()> {
    writeln!(
        out,
        "IP Virtual Server version 1.2.1 (size={})",
        services.table_size
    )?;
    print(out, &services.services, how)
}

/// Prints these services.
pub fn print(out: &mut impl Write, services: &[Service], how: Listing) -> io::Result<()> {
    writeln!(out, "{}", title(how.view))?;
    let mut names = Names::new(how.numeric);
    for service in services {
        print_service(out, service, how, &mut names)?;
        let protocol = port_protocol(&service.id);
        for server in &service.servers {
            print_server(out, server, protocol, how, &mut names)?;
        }
    }
    Ok(())
}

fn title(view: View) -> &'static str {
    match view {
        View::Plain => {
            "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward Weight ActiveConn InActConn"
        }
        View::Stats => {
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  \
             -> RemoteAddress:Port"
        }
        View::Rate => {
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n  \
             -> RemoteAddress:Port"
        }
        View::Thresholds => {
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n  \
             -> RemoteAddress:Port"
        }
        View::PersistentConnections => {
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  \
             -> RemoteAddress:Port"
        }
        View::TunnelInfo => {
            "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn"
        }
    }
}

fn print_service(
    out: &mut impl Write,
    service: &Service,
    how: Listing,
    names: &mut Names,
) -> io::Result<()> {
    let name = service_name(&service.id, names);
    let number = |value| number(value, how.exact);
    match how.view {
        View::Stats => writeln!(
            out,
            "{name:<33}{}",
            columns(&service.stats).map(number).concat()
        ),
        View::Rate => writeln!(
            out,
            "{name:<33}{}",
            columns(&service.rates).map(number).concat()
        ),
        _ => writeln!(
            out,
            "{name} {}",
            settings(&service.settings, service.id.family())
        ),
    }
}

/// Protocol and address, or the mark.
fn service_name(id: &ServiceId, names: &mut Names) -> String {
    match *id {
        ServiceId::Address { protocol, address } => {
            let word = protocol.name();
            let text = cut(names.text(address, protocol), address.is_ipv4());
            format!("{word:<4} {text}")
        }
        ServiceId::Mark {
            mark,
            family: Family::Ipv4,
        } => format!("FWM  {mark}"),
        ServiceId::Mark {
            mark,
            family: Family::Ipv6,
        } => format!("FWM  {mark} IPv6"),
    }
}

fn settings(settings: &ServiceSettings, family: Family) -> String {
    let mut words = vec![settings.scheduler.clone()];
    let flags = scheduler_flags::to_text(settings.scheduler_flags, &settings.scheduler);
    if !flags.is_empty() {
        words.push(format!("({flags})"));
    }
    if let Some(persistence) = settings.persistence {
        words.push(format!("persistent {}", persistence.timeout));
        words.extend(mask(persistence.prefix, family).map(|mask| format!("mask {mask}")));
        words.extend(
            settings
                .engine
                .as_ref()
                .map(|engine| format!("pe {engine}")),
        );
    }
    if settings.one_packet {
        words.push("ops".to_owned());
    }
    words.join(" ")
}

/// Text of a persistence mask; none for single clients.
pub(super) fn mask(prefix: u8, family: Family) -> Option<String> {
    match (family, prefix) {
        (Family::Ipv4, 32) | (Family::Ipv6, 128) => None,
        (Family::Ipv4, prefix) => Some(netmask(prefix).to_string()),
        (Family::Ipv6, prefix) => Some(prefix.to_string()),
    }
}

fn print_server(
    out: &mut impl Write,
    server: &Server,
    protocol: Protocol,
    how: Listing,
    names: &mut Names,
) -> io::Result<()> {
    let Server {
        id,
        settings,
        active,
        inactive,
        persistent,
        stats,
        rates,
        ..
    } = server;
    let name = cut(names.text(id.0, protocol), id.0.is_ipv4());
    let number = |value| number(value, how.exact);
    let ServerSettings {
        weight,
        upper,
        lower,
        ..
    } = settings;
    write!(out, "  -> {name:<28}")?;
    match how.view {
        View::Plain => {
            let method = method(settings.method);
            writeln!(out, " {method:<7} {weight:<6} {active:<10} {inactive:<10}")
        }
        View::TunnelInfo => {
            let (method, tunnel) = (method(settings.method), tunnel(settings));
            writeln!(
                out,
                " {method:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}"
            )
        }
        View::Thresholds => {
            writeln!(out, " {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
        }
        View::PersistentConnections => {
            writeln!(
                out,
                " {weight:<9} {persistent:<11} {active:<10} {inactive:<10}"
            )
        }
        View::Stats => writeln!(out, "{}", columns(stats).map(number).concat()),
        View::Rate => {
            // ipvsadm never shortens the first three for a server, though it does for a service.
            let [connections, in_packets, out_packets, bytes @ ..] = columns(rates);
            let bytes = bytes.map(number).concat();
            writeln!(
                out,
                " {connections:>8} {in_packets:>8} {out_packets:>8}{bytes}"
            )
        }
    }
}

/// Connections, packets and bytes, in their order of every listing.
pub(super) const fn columns(traffic: &Traffic) -> [u64; 5] {
    let Traffic {
        connections,
        in_packets,
        out_packets,
        in_bytes,
        out_bytes,
    } = *traffic;
    [connections, in_packets, out_packets, in_bytes, out_bytes]
}

fn cut(text: String, ipv4: bool) -> String {
    if ipv4 && text.len() > IPV4_WIDTH {
        text.chars().take(IPV4_WIDTH).collect()
    } else {
        text
    }
}

pub(super) fn method(method: Method) -> &'static str {
    match method {
        Method::Direct => "Route",
        Method::Tunnel => "Tunnel",
        Method::Nat => "Masq",
        Method::Local => "Local",
    }
}

fn tunnel(settings: &ServerSettings) -> String {
    let checksum = |checksum| match checksum {
        Checksum::None => "-c",
        Checksum::Full => "+c",
        Checksum::Remote => "r+c",
    };
    match (settings.method, settings.tunnel) {
        (Method::Tunnel, Tunnel::Ipip) => "ipip".to_owned(),
        (
            Method::Tunnel,
            Tunnel::Gue {
                port,
                checksum: sum,
            },
        ) => {
            format!("gue:{port}:{}", checksum(sum))
        }
        (Method::Tunnel, Tunnel::Gre { checksum: sum }) => format!("gre:{}", checksum(sum)),
        _ => "n/a".to_owned(),
    }
}

/// A column of nine characters: the number, shortened to thousands, millions and so on if it is too long, unless
/// `exact`.
fn number(value: u64, exact: bool) -> String {
    let (divisor, unit) = match value {
        0..100_000_000 => (1, ""),
        _ if exact => (1, ""),
        100_000_000..1_000_000_000 => (1_000, "K"),
        1_000_000_000..100_000_000_000 => (1_000_000, "M"),
        100_000_000_000..100_000_000_000_000 => (1_000_000_000, "G"),
        _ => (1_000_000_000_000, "T"),
    };
    format!(" {:>8}", format!("{}{unit}", value / divisor))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
