//! Short forms of what directors list: the files `ip_vs` and `ip_vs_conn` of `/proc/net`, and the counters of ipvsadm.
//!
//! A real server is a letter, `a` for the first one.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{is_of, server_number};

/// Port of a template whose server was deleted, from the next connection of its client on.
const INVALID: &str = "FFFF";

/// `ip_vs`: of each service its servers, newest first, each with weight, active and inactive connections.
pub(super) fn services(seed: u64, text: &str) -> String {
    let mut services = Vec::new();
    let mut is_here = false;
    for line in text.lines() {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["->", server, _, weight, active, inactive] if is_here => {
                let server = letter(server.split_once(':').and_then(|(ip, _)| hex(ip)));
                if let Some((_, servers)) = services.last_mut() {
                    add(servers, &format!("{server}{weight}/{active}/{inactive}"));
                }
            }
            [protocol, address, ..] if protocol != "->" => {
                let address = address
                    .split_once(':')
                    .and_then(|(ip, port)| Some((hex(ip)?, port)));
                is_here = address.is_some_and(|(ip, _)| is_of(seed, ip));
                if let Some((ip, port)) = address.filter(|_| is_here) {
                    services.push(((ip, port.to_owned(), protocol.to_owned()), String::new()));
                }
            }
            _ => {}
        }
    }
    services.sort();
    joined(services.into_iter().map(|(_, servers)| servers))
}

/// `ip_vs_conn`: state and server of each connection, in the order of services and clients. A number before it stands
/// for as many that are alike. Templates that the kernel keeps, but does not use any more, are left out.
pub(super) fn connections(seed: u64, text: &str) -> String {
    let mut all = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [
            protocol,
            client,
            port,
            service,
            service_port,
            server,
            _,
            state,
            ..,
        ] = *words
        else {
            continue;
        };
        let Some(service) = hex(service).filter(|service| is_of(seed, *service)) else {
            continue;
        };
        if service_port == INVALID {
            continue;
        }
        // Here a client's second datagram assures a template, in the kernel a server's answer.
        let state = match (protocol, port, state) {
            ("UDP", "0000", "ASSURED") => "NONE",
            _ => state,
        };
        let shown = format!("{}{}", state_letter(state), letter(hex(server)));
        all.push(((service, service_port, protocol, client, port), shown));
    }
    all.sort();
    let mut text = String::new();
    for alike in all.chunk_by(|(_, one), (_, other)| one == other) {
        if alike.len() > 1 {
            let _ = write!(text, "{}", alike.len());
        }
        text.extend(alike.first().map(|(_, shown)| shown.as_str()));
    }
    text
}

/// `-Ln --stats --exact`: of each service, and of its servers in the order of their addresses, connections, packets
/// and bytes that came in.
pub(super) fn traffic(seed: u64, text: &str) -> String {
    let mut services = Vec::new();
    let mut is_here = false;
    for line in text.lines() {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["->", server, connections, packets, _, bytes, _] if is_here => {
                let server = server.parse().ok().map(|server: SocketAddrV4| *server.ip());
                let server = letter(server);
                if let Some((_, servers)) = services.last_mut() {
                    add(servers, &format!("{server}{connections}/{packets}/{bytes}"));
                }
            }
            [protocol, address, connections, packets, _, bytes, _] => {
                let address: Option<SocketAddrV4> = address.parse().ok();
                is_here = address.is_some_and(|address| is_of(seed, *address.ip()));
                if let Some(address) = address.filter(|_| is_here) {
                    let all = format!("{connections}/{packets}/{bytes}");
                    services.push(((address, protocol.to_owned()), all));
                }
            }
            _ => {}
        }
    }
    services.sort();
    joined(services.into_iter().map(|(_, servers)| servers))
}

fn add(servers: &mut String, server: &str) {
    if !servers.is_empty() {
        servers.push(',');
    }
    servers.push_str(server);
}

fn joined(services: impl Iterator<Item = String>) -> String {
    services.collect::<Vec<_>>().join(";")
}

fn hex(address: &str) -> Option<Ipv4Addr> {
    let bits = u32::from_str_radix(address, 16).ok()?;
    Some(Ipv4Addr::from_bits(bits))
}

/// The letter of a server.
fn letter(address: Option<Ipv4Addr>) -> char {
    match address.map(server_number) {
        Some(number @ 1..=26) => char::from(b'a' + number - 1),
        _ => '?',
    }
}

/// The letter of a state.
fn state_letter(state: &str) -> char {
    match state {
        "NONE" => 'N',
        "ASSURED" => 'A',
        "UDP" => 'U',
        "ESTABLISHED" => 'E',
        "SYN_SENT" => 'R',
        "SYN_RECV" => 'S',
        "FIN_WAIT" => 'F',
        "TIME_WAIT" => 'T',
        "CLOSE" => 'C',
        "CLOSE_WAIT" => 'W',
        "LAST_ACK" => 'L',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_of_the_seeds_services_alone() {
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  C6120005:0035 rr ops  
TCP  C6120004:0050 wrr  
  -> 0A02000C:0050      Tunnel  0      0          2         
  -> 0A02000B:1F90      Masq    100    1          0         
UDP  C000020A:0009 rr ops  
  -> 0A020028:0009      Route   1      0          0         
";
        assert_eq!(services(1, text), "b0/0/2,a100/1/0;");
        let text = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A320001 9D7C C6120004 01BB 0A02000C 20FB CLOSE             7
TCP 0A320001 9D7B C6120004 01BB 0A02000B 20FB ESTABLISHED     900
TCP 0A320001 9D7A C6120004 01BB 0A02000B 20FB ESTABLISHED     900
TCP 0A320001 9D7A C6120009 01BB 0A02000B 20FB ESTABLISHED     900
";
        assert_eq!(connections(1, text), "2EaCb");
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  198.18.0.4:80                       3       11        0      440        0
  -> 10.2.0.11:80                        2        7        0      280        0
  -> 10.2.0.12:80                        1        4        0      160        0
UDP  192.0.2.10:9                        3       11        0      440        0
  -> 10.2.0.40:9                         2        7        0      280        0
";
        assert_eq!(traffic(1, text), "3/11/440,a2/7/280,b1/4/160");
    }
}
