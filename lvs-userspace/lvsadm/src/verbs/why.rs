//! `why`: the way that a client's packet would take.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use anstyle::AnsiColor;
use clap::{ArgGroup, Args};
use lvs_api::client::{Client, ClientError};
use lvs_api::health::Health;
use lvs_api::model::{Protocol, ServiceId};
use lvs_api::why::{Way, Why as Question};

use super::colour::{painted, style};
use super::failure::Failure;
use super::target::{VirtualName, one_service};

/// Explain which way a client's packet would take, and why
///
/// No packet is sent, no counter and no connection changes: a packet as the client would send it goes through the
/// program's own rules over its tables as they are now. Each step is told: connection, virtual service, filter,
/// persistence, scheduler, next hop, way out, and the verdict as `lvsadm --verdicts` counts it. Where the client has a
/// connection from its port, the packet belongs to that; else it begins one. A scheduler that goes by the connections
/// before says which real servers it would choose among, and which it would choose now.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("protocol").multiple(false).args(["tcp", "udp", "sctp"]))]
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
pub(super) struct Why {
    /// Client: an address, or address and port. Without a port: the next new connection
    #[arg(value_name = "CLIENT", value_parser = endpoint)]
    client: Endpoint,
    /// Virtual service: an address, address and port, or a servicename. Without a port: the only one there is
    #[arg(value_name = "VIRTUAL")]
    virtual_name: String,
    /// A TCP packet: the default
    #[arg(short = 't', long)]
    tcp: bool,
    /// A UDP packet
    #[arg(short = 'u', long)]
    udp: bool,
    /// An SCTP packet
    #[arg(long)]
    sctp: bool,
    /// The interface that the packet comes by [default: the one by which the routes lead to the client]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lvsadm why 198.51.100.7 192.0.2.10:80
  lvsadm why 198.51.100.7:40112 192.0.2.10:80
  lvsadm why [2001:db8::7] [2001:db8::53]:53 -u --interface eth0";

/// An address, perhaps with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    port: Option<u16>,
}

fn endpoint(word: &str) -> Result<Endpoint, String> {
    if let Ok(socket) = word.parse::<SocketAddr>() {
        return Ok(Endpoint {
            address: socket.ip(),
            port: Some(socket.port()),
        });
    }
    let bare = word
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(word).parse().map_err(|_| {
        format!(
            "`{word}' is no address such as 198.51.100.7, 198.51.100.7:40112 or [2001:db8::7]:40112"
        )
    })?;
    Ok(Endpoint {
        address,
        port: None,
    })
}

/// Asks and prints the way.
pub(super) async fn run(
    client: &mut Client,
    arguments: Why,
    out: &mut impl Write,
    colour: bool,
) -> Result<(), Failure> {
    let json = arguments.json;
    let question = question(client, arguments).await?;
    let way = client.why(&question).await?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &way).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(out, &way, colour)?;
    }
    Ok(())
}

async fn question(client: &mut Client, arguments: Why) -> Result<Question, Failure> {
    let Why {
        client: from,
        virtual_name,
        tcp,
        udp,
        sctp,
        interface,
        ..
    } = arguments;
    let option = match (tcp, udp, sctp) {
        (true, _, _) => Some(Protocol::Tcp),
        (_, true, _) => Some(Protocol::Udp),
        (_, _, true) => Some(Protocol::Sctp),
        _ => None,
    };
    let (prefix, word) = match virtual_name.split_once(':') {
        Some(("tcp", word)) => (Some(Protocol::Tcp), word),
        Some(("udp", word)) => (Some(Protocol::Udp), word),
        Some(("sctp", word)) => (Some(Protocol::Sctp), word),
        _ => (None, virtual_name.as_str()),
    };
    let (to, named) = if let Ok(to) = endpoint(word) {
        (to, prefix)
    } else {
        let (protocol, address) = by_name(client, &virtual_name).await?;
        let to = Endpoint {
            address: address.ip(),
            port: Some(address.port()).filter(|&port| port != 0),
        };
        (to, Some(protocol))
    };
    if let (Some(option), Some(named)) = (option, named)
        && option != named
    {
        return Err(Failure::Usage(format!(
            "{virtual_name} is a service of {}, and the option says {}",
            named.name(),
            option.name()
        )));
    }
    Ok(Question {
        client: from.address,
        client_port: from.port,
        virtual_address: to.address,
        virtual_port: to.port,
        protocol: option.or(named).unwrap_or(Protocol::Tcp),
        interface,
    })
}

/// The virtual service with a name of the file.
async fn by_name(client: &mut Client, word: &str) -> Result<(Protocol, SocketAddr), Failure> {
    let services = client.services().await?.services;
    let ids: Vec<_> = services.iter().map(|service| service.id).collect();
    let health = match client.health().await {
        Ok(health) => health,
        // Without health checks no service has a name.
        Err(ClientError::Refused(_)) => Health::default(),
        Err(error) => return Err(error.into()),
    };
    let Ok(name) = word.parse::<VirtualName>();
    match one_service(&ids, &health, &name)? {
        Some(ServiceId::Address { protocol, address }) => Ok((protocol, address)),
        _ => Err(Failure::Usage(format!(
            "{word} names no address that a packet could be for: name an address and port that its rules mark"
        ))),
    }
}

fn print(out: &mut impl Write, way: &Way, colour: bool) -> io::Result<()> {
    writeln!(
        out,
        "{} from {} to {}",
        way.packet, way.client, way.virtual_address
    )?;
    let width = way
        .steps
        .iter()
        .map(|step| step.name.len())
        .max()
        .unwrap_or(0);
    for step in &way.steps {
        writeln!(out, "  {:width$}  {}", step.name, step.text)?;
    }
    let sign = if way.verdict.starts_with("drop-") {
        AnsiColor::Red
    } else if way.verdict.starts_with("forward-") {
        AnsiColor::Green
    } else {
        AnsiColor::Yellow
    };
    let verdict = painted(colour, &way.verdict, style(sign));
    writeln!(out, "{verdict}: {}", way.explanation)
}

#[cfg(test)]
mod tests {
    use lvs_api::why::WayStep;

    use super::*;

    #[test]
    fn a_client_is_an_address_with_a_port_or_without() {
        let parsed = |word| endpoint(word).map(|it| (it.address.to_string(), it.port));
        assert_eq!(
            parsed("198.51.100.7"),
            Ok(("198.51.100.7".to_owned(), None))
        );
        assert_eq!(
            parsed("198.51.100.7:9"),
            Ok(("198.51.100.7".to_owned(), Some(9)))
        );
        assert_eq!(parsed("2001:db8::7"), Ok(("2001:db8::7".to_owned(), None)));
        assert_eq!(
            parsed("[2001:db8::7]"),
            Ok(("2001:db8::7".to_owned(), None))
        );
        assert_eq!(
            parsed("[2001:db8::7]:9"),
            Ok(("2001:db8::7".to_owned(), Some(9)))
        );
        for wrong in [
            "198.51.100",
            "198.51.100.7:x",
            "client",
            "198.51.100.7:99999",
        ] {
            assert!(parsed(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn each_step_is_a_line_and_the_verdict_the_last() {
        let step = |name: &str, text: &str| WayStep {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let way = Way {
            client: ([198, 51, 100, 7], 49_152).into(),
            virtual_address: ([192, 0, 2, 10], 80).into(),
            packet: "TCP SYN".to_owned(),
            interface: "eth0".to_owned(),
            steps: vec![step("interface", "comes by eth0"), step("filter", "none")],
            verdict: "drop-denied".to_owned(),
            explanation: "not admitted".to_owned(),
            service: None,
            server: None,
            method: None,
            determined: true,
        };
        let text = |colour| {
            let mut out = Vec::new();
            print(&mut out, &way, colour).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(false),
            "TCP SYN from 198.51.100.7:49152 to 192.0.2.10:80\n  interface  comes by eth0\n  \
             filter     none\ndrop-denied: not admitted\n"
        );
        assert!(text(true).contains("\x1b[31mdrop-denied\x1b[0m: not admitted"));
    }
}
