//! A traced packet as a line.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anstyle::AnsiColor;
use chrono::{DateTime, Local};
use lvs_api::model::Method;
use lvs_api::trace::{TracedConnection, TracedFlow, TracedPacket};

use super::super::colour::{painted, style};

/// The line of a packet.
pub(super) fn text(packet: &TracedPacket, colour: bool) -> String {
    let time = i64::try_from(packet.time).unwrap_or(0);
    let time = DateTime::from_timestamp_nanos(time).with_timezone(&Local);
    format!("{} {}", time.format("%H:%M:%S%.6f"), rest(packet, colour))
}

fn rest(packet: &TracedPacket, colour: bool) -> String {
    let mut text = format!(
        "{} {} {}",
        packet.interface,
        packet.came.map_or_else(|| "no IP packet".to_owned(), flow),
        packet.length
    );
    if let Some(connection) = &packet.connection {
        let _ = write!(text, " | {}", of(packet, connection));
    } else if let Some(service) = packet.service {
        let _ = write!(text, " | {service}");
    }
    if let Some(server) = packet.server {
        let _ = write!(text, " | {server}{}", packet.method.map_or("", method));
    }
    if let Some(out) = &packet.out {
        let to = packet.next_hop.as_deref().unwrap_or("");
        let _ = write!(text, " | {out} {to}");
        if let Some(left) = packet.left.filter(|left| Some(*left) != packet.came) {
            let _ = write!(text, " {}", flow(left));
        }
        text.truncate(text.trim_end().len());
    }
    let sign = if packet.verdict.starts_with("drop-") {
        AnsiColor::Red
    } else if packet.verdict.starts_with("forward-") {
        AnsiColor::Green
    } else {
        AnsiColor::Yellow
    };
    let verdict = painted(colour, &packet.verdict, style(sign));
    format!("{text} | {verdict}: {}", packet.explanation)
}

/// Service and states; the connection's own addresses where they are not those of the packet.
fn of(packet: &TracedPacket, connection: &TracedConnection) -> String {
    let same = packet.came.is_some_and(|came| {
        let source = SocketAddr::new(came.source, came.source_port.unwrap_or(0));
        let destination = SocketAddr::new(came.destination, came.destination_port.unwrap_or(0));
        (source, destination) == (connection.client, connection.virtual_address)
    });
    let service = packet
        .service
        .map_or_else(|| "no service".to_owned(), |service| service.to_string());
    let of = if same {
        service
    } else {
        format!(
            "{service} of {} > {}",
            connection.client, connection.virtual_address
        )
    };
    match (&connection.before, &connection.state) {
        (None, None) => of,
        (None, Some(state)) => format!("{of} new {state}"),
        (Some(before), None) => format!("{of} {before} > gone"),
        (Some(before), Some(state)) if before == state => format!("{of} {state}"),
        (Some(before), Some(state)) => format!("{of} {before} > {state}"),
    }
}

fn flow(flow: TracedFlow) -> String {
    let side = |address, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    format!(
        "{} > {} {}",
        side(flow.source, flow.source_port),
        side(flow.destination, flow.destination_port),
        protocol(flow.protocol)
    )
}

fn protocol(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        41 => "ipv6",
        47 => "gre",
        58 => "icmp6",
        132 => "sctp",
        _ => return format!("protocol {number}"),
    };
    name.to_owned()
}

const fn method(method: Method) -> &'static str {
    match method {
        Method::Direct => " direct",
        Method::Tunnel => " tunnel",
        Method::Nat => " nat",
        Method::Local => " local",
    }
}

#[cfg(test)]
mod tests {
    use lvs_api::model::{Protocol, ServiceId};

    use super::*;

    fn packet() -> TracedPacket {
        TracedPacket {
            time: 1_000,
            interface: "eth0".to_owned(),
            program: "xdp".to_owned(),
            length: 74,
            left_length: 0,
            came: Some(TracedFlow {
                source: [198, 51, 100, 7].into(),
                destination: [192, 0, 2, 10].into(),
                protocol: 6,
                source_port: Some(46_012),
                destination_port: Some(80),
            }),
            left: None,
            connection: Some(TracedConnection {
                protocol: Protocol::Tcp,
                client: ([198, 51, 100, 7], 46_012).into(),
                virtual_address: ([192, 0, 2, 10], 80).into(),
                before: None,
                state: None,
            }),
            service: Some(ServiceId::Address {
                protocol: Protocol::Tcp,
                address: ([192, 0, 2, 10], 80).into(),
            }),
            server: None,
            method: None,
            out: None,
            next_hop: None,
            verdict: "drop-denied".to_owned(),
            explanation: "not admitted".to_owned(),
            ethernet: true,
            came_image: None,
            left_image: None,
        }
    }

    #[test]
    fn a_dropped_packet_has_its_reason() {
        let line = "eth0 198.51.100.7:46012 > 192.0.2.10:80 tcp 74 | tcp 192.0.2.10:80 | drop-denied: not admitted";
        assert_eq!(rest(&packet(), false), line);
        assert!(rest(&packet(), true).contains("\x1b[31mdrop-denied\x1b[0m"));
    }

    #[test]
    fn a_forwarded_packet_has_its_way() {
        let mut packet = packet();
        let connection = packet.connection.as_mut().unwrap();
        connection.state = Some("SYN_RECV".to_owned());
        packet.server = Some(([10, 0, 0, 11], 80).into());
        packet.method = Some(Method::Nat);
        packet.out = Some("eth1".to_owned());
        packet.next_hop = Some("02:00:00:00:00:0b".to_owned());
        packet.left = packet.came.map(|came| TracedFlow {
            destination: [10, 0, 0, 11].into(),
            ..came
        });
        let line = rest(&packet, false);
        let way = "| tcp 192.0.2.10:80 new SYN_RECV | 10.0.0.11:80 nat | eth1 02:00:00:00:00:0b \
                   198.51.100.7:46012 > 10.0.0.11:80 tcp |";
        assert!(line.contains(way), "{line}");
    }

    #[test]
    fn a_reply_names_the_connection_that_it_is_of() {
        let mut packet = packet();
        packet.came = Some(TracedFlow {
            source: [10, 0, 0, 11].into(),
            destination: [198, 51, 100, 7].into(),
            protocol: 6,
            source_port: Some(80),
            destination_port: Some(46_012),
        });
        let connection = packet.connection.as_mut().unwrap();
        connection.before = Some("SYN_RECV".to_owned());
        connection.state = Some("ESTABLISHED".to_owned());
        let line = rest(&packet, false);
        let of =
            "| tcp 192.0.2.10:80 of 198.51.100.7:46012 > 192.0.2.10:80 SYN_RECV > ESTABLISHED |";
        assert!(line.contains(of), "{line}");
    }
}
