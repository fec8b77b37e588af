//! `-Lc`: connections, one a line, in the order of the tables.

use std::io::{self, Write};

use lvs_api::model::Protocol;
use lvs_api::protocol::{Connection, EngineData};

use super::names::Names;

/// Prints the title, with `engines` also the columns of persistence engines.
pub fn print_title(out: &mut impl Write, engines: bool) -> io::Result<()> {
    writeln!(out, "IPVS connection entries")?;
    write!(
        out,
        "pro expire state       source             virtual            destination"
    )?;
    writeln!(
        out,
        "{}",
        if engines {
            "        pe name          pe_data"
        } else {
            ""
        }
    )
}

/// Prints one connection, with `engines` also what a persistence engine keeps it by.
pub fn print(
    out: &mut impl Write,
    connection: &Connection,
    engines: bool,
    names: &mut Names,
) -> io::Result<()> {
    let (word, protocol) = match connection.protocol {
        Some(protocol) => (protocol.name(), protocol),
        None => ("IP", Protocol::Tcp),
    };
    let expires = format!(
        "{:02}:{:02}",
        connection.expires / 60,
        connection.expires % 60
    );
    let client = names.text(connection.client, protocol);
    let virtual_address = names.text(connection.virtual_address, protocol);
    let server = names.text(connection.server, protocol);
    let state = &connection.state;
    write!(
        out,
        "{word:<3} {expires:<6} {state:<11} {client:<18} {virtual_address:<18} "
    )?;
    match connection.engine.as_ref().filter(|_| engines) {
        Some(EngineData { name, data }) => writeln!(out, "{server:<16} {name:<18} {data}"),
        None => writeln!(out, "{server}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(protocol: Option<Protocol>, expires: u32, state: &str, ends: [&str; 3]) -> String {
        let [client, virtual_address, server] = ends.map(|end| end.parse().expect("an address"));
        let connection = Connection {
            protocol,
            expires,
            state: state.to_owned(),
            client,
            virtual_address,
            server,
            template: false,
            engine: None,
            replicated: false,
        };
        printed(&connection, false)
    }

    fn printed(connection: &Connection, engines: bool) -> String {
        let mut out = Vec::new();
        print(&mut out, connection, engines, &mut Names::new(true)).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_call_has_its_engine_and_call_id() {
        let connection = Connection {
            protocol: Some(Protocol::Udp),
            expires: 59,
            state: "ASSURED".to_owned(),
            client: "198.51.100.7:0".parse().expect("an address"),
            virtual_address: "192.0.2.10:5060".parse().expect("an address"),
            server: "10.0.0.2:5060".parse().expect("an address"),
            template: true,
            engine: Some(EngineData {
                name: "sip".to_owned(),
                data: "f81d4fae@10.1.0.3".to_owned(),
            }),
            replicated: false,
        };
        let plain = "UDP 00:59  ASSURED     198.51.100.7:0     192.0.2.10:5060    10.0.0.2:5060";
        assert_eq!(printed(&connection, false), format!("{plain}\n"));
        let with = format!("{plain}    sip                f81d4fae@10.1.0.3\n");
        assert_eq!(printed(&connection, true), with);
    }

    #[test]
    fn connections_are_listed_as_ipvsadm_does() {
        let mut out = Vec::new();
        print_title(&mut out, false).expect("memory takes it");
        print_title(&mut out, true).expect("memory takes it");
        let mut text = String::from_utf8(out).expect("text");
        let (tcp, udp) = (Some(Protocol::Tcp), Some(Protocol::Udp));
        for (protocol, expires, state, ends) in [
            (
                tcp,
                897,
                "ESTABLISHED",
                ["198.51.100.20:50000", "192.0.2.10:80", "10.0.0.2:80"],
            ),
            (
                tcp,
                355,
                "ASSURED",
                ["198.51.100.20:0", "192.0.2.10:443", "10.0.0.2:443"],
            ),
            (
                udp,
                299,
                "UDP",
                ["198.51.100.20:5060", "192.0.2.10:5060", "10.0.0.2:5060"],
            ),
            (
                tcp,
                119,
                "TIME_WAIT",
                [
                    "[2001:db8::1]:50000",
                    "[2001:db8::80]:80",
                    "[2001:db8::a0a0]:80",
                ],
            ),
            (
                None,
                59,
                "NONE",
                ["198.51.100.0:0", "0.0.0.7:0", "10.0.0.2:0"],
            ),
            (
                tcp,
                7260,
                "FIN_WAIT",
                ["198.51.100.20:50001", "192.0.2.10:80", "10.0.0.3:65535"],
            ),
            (
                Some(Protocol::Sctp),
                60,
                "C-REPLIED",
                ["198.51.100.20:9", "192.0.2.10:9", "10.0.0.3:9"],
            ),
        ] {
            text += &line(protocol, expires, state, ends);
        }
        assert_eq!(
            text,
            "\
IPVS connection entries
pro expire state       source             virtual            destination
IPVS connection entries
pro expire state       source             virtual            destination        pe name          pe_data
TCP 14:57  ESTABLISHED 198.51.100.20:50000 192.0.2.10:80      10.0.0.2:80
TCP 05:55  ASSURED     198.51.100.20:0    192.0.2.10:443     10.0.0.2:443
UDP 04:59  UDP         198.51.100.20:5060 192.0.2.10:5060    10.0.0.2:5060
TCP 01:59  TIME_WAIT   [2001:db8::1]:50000 [2001:db8::80]:80  [2001:db8::a0a0]:80
IP  00:59  NONE        198.51.100.0:0     0.0.0.7:0          10.0.0.2:0
TCP 121:00 FIN_WAIT    198.51.100.20:50001 192.0.2.10:80      10.0.0.3:65535
SCTP 01:00  C-REPLIED   198.51.100.20:9    192.0.2.10:9       10.0.0.3:9
"
        );
    }
}
