//! The lab's wires: namespaces, bridges, veth pairs, addresses and routes.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use lvs_api::model::Method;

use super::addresses::{self, FAMILIES, host_length, prefix_length};
use super::namespace::Namespace;
use super::receive::Receivers;
use super::{Director, Lab, requirements};

/// How many interfaces the director has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// One, on a bridge with everybody else: packets leave by the interface they came in by.
    One,
    /// Two, one to the clients and one to the real servers: packets are redirected.
    Two,
    /// One, whose driver runs no XDP program: a bridge, with the end of the wire as its port. That
    /// port merges segments (GRO), as network cards do.
    Bridge,
    /// One, as a container has it: the end of a wire that nobody prepared for XDP.
    Container,
    /// The same, and the director's addresses are on a macvlan device upon it.
    Macvlan,
    /// Two, and that to the real servers is a bridge as in [`Arms::Bridge`].
    Inside,
}

impl Arms {
    /// The other ends of the director's wires take frames from XDP.
    pub(super) fn prepared(self) -> bool {
        !matches!(self, Self::Container | Self::Macvlan)
    }

    /// The director's end of the wire to this interface.
    fn end(self, interface: &'static str) -> &'static str {
        match (self, interface) {
            (Self::Bridge | Self::Macvlan, _) | (Self::Inside, INSIDE) => PORT,
            _ => interface,
        }
    }
}

/// The end of a wire below a device that the director made itself.
const PORT: &str = "port";
/// The Ethernet address of the macvlan device, also when it is made anew ([`Arms::Macvlan`]).
const MACVLAN: &str = "02:00:5e:00:01:07";
/// The bridge towards the real servers ([`Arms::Inside`]).
const INSIDE: &str = "inside";

/// A host of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Sends requests.
    Client,
    /// Runs the daemon and its XDP program; counted from 1.
    Director(u8),
    /// A real server, counted from 1.
    Server(u8),
    /// Bridges and the router.
    Network,
}

/// The number of directors; it decides how they hold the virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directors {
    /// There is one, and it has them for good.
    One,
    /// There are so many, with two arms each and a third one to each other. The addresses, and with them
    /// the gateway's for NAT, are for the daemons to hold.
    Several(u8),
}

impl Directors {
    fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Several(count) => count,
        }
    }
}

/// The lab's namespaces.
pub struct Network {
    prefix: String,
    arms: Arms,
    directors: Directors,
    receivers: Option<Receivers>,
}

impl Network {
    /// Builds everything; names start with `prefix`.
    pub(super) fn build(prefix: String, arms: Arms, directors: Directors) -> Result<Self> {
        requirements::check().map_err(|missing| anyhow::anyhow!(missing.0))?;
        let mut network = Self {
            prefix,
            arms,
            directors,
            receivers: None,
        };
        network.make_namespaces()?;
        network.receivers = Some(network.connect().context("cannot connect the hosts")?);
        network.configure_client()?;
        for number in 1..=directors.count() {
            network.configure_director(number)?;
        }
        for number in 1..=Lab::SERVERS {
            network.configure_server(number)?;
        }
        Ok(network)
    }

    /// How many interfaces the director has.
    pub fn arms(&self) -> Arms {
        self.arms
    }

    /// The namespace of a host.
    pub fn namespace(&self, host: Host) -> Namespace {
        Namespace::named(&self.name(host))
    }

    fn name(&self, host: Host) -> String {
        let name = match host {
            Host::Client => "client".to_owned(),
            Host::Director(number) => self.director_name(number),
            Host::Server(number) => format!("server{number}"),
            Host::Network => "network".to_owned(),
        };
        format!("{}{name}", self.prefix)
    }

    fn director_name(&self, number: u8) -> String {
        match self.directors {
            Directors::One => "director".to_owned(),
            Directors::Several(_) => format!("director{number}"),
        }
    }

    /// A director's interfaces that packets of clients and servers come by: the one towards the clients
    /// first.
    pub fn director_interfaces(&self) -> &'static [&'static str] {
        match self.arms {
            Arms::One | Arms::Bridge | Arms::Container | Arms::Macvlan => &["eth0"],
            Arms::Two => &["front", "back"],
            Arms::Inside => &["front", INSIDE],
        }
    }

    /// The bridges: the clients' first, the real servers' last.
    fn bridges(&self) -> &'static [&'static str] {
        match self.arms {
            Arms::One | Arms::Bridge | Arms::Container | Arms::Macvlan => &["bridge"],
            Arms::Two | Arms::Inside => &["bridge-front", "bridge-back"],
        }
    }

    fn hosts(&self) -> impl Iterator<Item = Host> {
        [Host::Client, Host::Network]
            .into_iter()
            .chain((1..=self.directors.count()).map(Host::Director))
            .chain((1..=Lab::SERVERS).map(Host::Server))
    }

    fn make_namespaces(&self) -> Result<()> {
        for host in self.hosts() {
            let namespace = Namespace::create(&self.name(host))?;
            namespace.sysctl(&[
                // An address is usable at once: nobody else can have it here.
                ("ipv6/conf/default/dad_transmits", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/accept_ra", "0"),
                // Replies with a virtual address as their source come from where it is not routed to.
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
            ])?;
            namespace.ip("link set lo up")?;
        }
        Ok(())
    }

    /// Bridges, the router and all veth pairs.
    fn connect(&self) -> Result<Receivers> {
        let network = self.namespace(Host::Network);
        network.sysctl(&[
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            // With one bridge the router would tell senders of a way around itself.
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
        ])?;
        let (front, back) = ends(self.bridges());
        let mut lines = String::new();
        for bridge in self.bridges() {
            // Snooping waits for a querier before it lets neighbour discovery's multicast through.
            writeln!(
                lines,
                "link add {bridge} type bridge mcast_snooping 0 forward_delay 0"
            )?;
            writeln!(lines, "link set {bridge} up")?;
        }
        for family in FAMILIES {
            let length = prefix_length(family);
            writeln!(
                lines,
                "addr add {}/{length} dev {front}",
                addresses::router_front(family)
            )?;
            writeln!(
                lines,
                "addr add {}/{length} dev {back}",
                addresses::router_back(family)
            )?;
        }
        self.plug(&mut lines, Host::Client, "eth0", "client", front)?;
        let mut ports = Vec::new();
        for number in 1..=self.directors.count() {
            for interface in self.director_interfaces() {
                let bridge = if matches!(*interface, "back" | INSIDE) {
                    back
                } else {
                    front
                };
                let port = format!("{}-{interface}", self.director_name(number));
                let end = self.arms.end(interface);
                self.plug(&mut lines, Host::Director(number), end, &port, bridge)?;
                ports.push(port);
            }
        }
        if let Directors::Several(count) = self.directors {
            writeln!(
                lines,
                "link add {SYNC_BRIDGE} type bridge mcast_snooping 0 forward_delay 0"
            )?;
            writeln!(lines, "link set {SYNC_BRIDGE} up")?;
            for number in 1..=count {
                let port = format!("{}-{SYNC}", self.director_name(number));
                self.plug(&mut lines, Host::Director(number), SYNC, &port, SYNC_BRIDGE)?;
            }
        }
        for number in 1..=Lab::SERVERS {
            self.plug(
                &mut lines,
                Host::Server(number),
                "eth0",
                &format!("server{number}"),
                back,
            )?;
        }
        network.ip(&lines)?;
        if !self.arms.prepared() {
            ports.clear();
        }
        for port in &ports {
            // See the module's documentation.
            network
                .run("ethtool", &["-K", port, "tx", "off"])
                .context("cannot set offloads")?;
        }
        Receivers::attach(&network, &ports)
    }

    /// A veth pair from a host to a port of a bridge.
    fn plug(
        &self,
        lines: &mut String,
        host: Host,
        interface: &str,
        port: &str,
        bridge: &str,
    ) -> Result<()> {
        let peer = self.name(host);
        writeln!(
            lines,
            "link add {port} type veth peer name {interface} netns {peer}"
        )?;
        writeln!(lines, "link set {port} master {bridge} up")?;
        Ok(())
    }

    fn configure_client(&self) -> Result<()> {
        let client = self.namespace(Host::Client);
        // Load without keep-alive takes a port for each request.
        client.sysctl(&[("ipv4/ip_local_port_range", "1024 65535")])?;
        let mut lines = "link set eth0 up\n".to_owned();
        for family in FAMILIES {
            let length = prefix_length(family);
            writeln!(
                lines,
                "addr add {}/{length} dev eth0",
                addresses::client(family)
            )?;
            // Real servers' own addresses, to compare with what the director makes of it.
            let router = addresses::router_front(family);
            writeln!(
                lines,
                "route add {} via {router}",
                addresses::back_network(family)
            )?;
        }
        client.ip(&lines)
    }

    fn configure_director(&self, number: u8) -> Result<()> {
        let director = self.namespace(Host::Director(number));
        director.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        if self.directors == Directors::One {
            self.configure_only_director(&director)
        } else {
            director.ip(&boot_lines(number)?)
        }
    }

    /// Takes the XDP programs off the other ends of the director's wires.
    pub(super) fn stop_receiving(&mut self) {
        self.receivers = None;
    }

    /// Puts them there again.
    pub(super) fn receive(&mut self) -> Result<()> {
        let name = self.director_name(1);
        let ports = self.director_interfaces().iter();
        let ports: Vec<_> = ports
            .map(|interface| format!("{name}-{interface}"))
            .collect();
        self.receivers = Some(Receivers::attach(&self.namespace(Host::Network), &ports)?);
        Ok(())
    }

    /// Deletes the director's macvlan device and makes it anew ([`Arms::Macvlan`]).
    pub(super) fn remake_macvlan(&self) -> Result<()> {
        let director = self.namespace(Host::Director(1));
        let (front, _) = ends(self.director_interfaces());
        director.ip(&format!("link del {front}"))?;
        self.configure_only_director(&director)
    }

    fn configure_only_director(&self, director: &Namespace) -> Result<()> {
        let interfaces = self.director_interfaces();
        let (front, back) = ends(interfaces);
        let mut lines = String::new();
        match self.arms {
            Arms::Bridge | Arms::Inside => {
                writeln!(
                    lines,
                    "link add {back} type bridge mcast_snooping 0 forward_delay 0"
                )?;
                writeln!(lines, "link set {PORT} master {back} up")?;
                director.run("ethtool", &["-K", PORT, "gro", "on"])?;
            }
            Arms::Macvlan => {
                // Or the interface below answers for addresses upon it.
                director.sysctl(&[("ipv4/conf/all/arp_ignore", "1")])?;
                writeln!(lines, "link set {PORT} up")?;
                writeln!(
                    lines,
                    "link add {front} link {PORT} address {MACVLAN} type macvlan mode bridge"
                )?;
            }
            Arms::One | Arms::Two | Arms::Container => {}
        }
        for interface in interfaces {
            writeln!(lines, "link set {interface} up")?;
        }
        for family in FAMILIES {
            let (length, host) = (prefix_length(family), host_length(family));
            writeln!(
                lines,
                "addr add {}/{length} dev {front}",
                addresses::director_front(family)
            )?;
            writeln!(
                lines,
                "addr add {}/{length} dev {back}",
                addresses::director_back(family)
            )?;
            for method in addresses::METHODS {
                let address = addresses::virtual_address(family, method);
                writeln!(lines, "addr add {address}/{host} dev {front}")?;
            }
        }
        director.ip(&lines)
    }

    fn configure_server(&self, number: u8) -> Result<()> {
        let server = self.namespace(Host::Server(number));
        // Direct routing: the server has the virtual address, but must not answer ARP for it, nor
        // use it to ask for others. (IPv6 answers only for addresses of the asked interface.)
        server.sysctl(&[
            ("ipv4/conf/all/arp_ignore", "1"),
            ("ipv4/conf/all/arp_announce", "2"),
        ])?;
        server.ip("link set eth0 up")?;
        for family in FAMILIES {
            let (length, host) = (prefix_length(family), host_length(family));
            let own = addresses::server(family, number);
            let mut lines = format!("addr add {own}/{length} dev eth0\n");
            for method in [Method::Direct, Method::Tunnel] {
                let address = addresses::virtual_address(family, method);
                writeln!(lines, "addr add {address}/{host} dev lo")?;
            }
            writeln!(
                lines,
                "route add default via {}",
                addresses::router_back(family)
            )?;
            // What NAT sends here has to go back through the director.
            let (network, director) = (
                addresses::back_network(family),
                addresses::director_back(family),
            );
            writeln!(lines, "route add {network} dev eth0 table 100")?;
            writeln!(lines, "route add default via {director} dev eth0 table 100")?;
            writeln!(lines, "rule add from {own} table 100")?;
            server.ip_family(family, &lines)?;
        }
        Ok(())
    }
}

/// Renders the `ip` commands of a director that boots: its own addresses.
pub(super) fn boot_lines(number: u8) -> Result<String> {
    let mut lines = String::new();
    for interface in ["front", "back", SYNC] {
        writeln!(lines, "link set {interface} up")?;
    }
    for family in FAMILIES {
        let length = prefix_length(family);
        for (address, interface) in [
            (addresses::own_front(family, number), "front"),
            (addresses::own_back(family, number), "back"),
            (addresses::own_sync(family, number), SYNC),
        ] {
            writeln!(lines, "addr add {address}/{length} dev {interface}")?;
        }
    }
    Ok(lines)
}

/// One of several directors dies: its daemon is killed and its cables are pulled at the same moment.
pub(super) fn crash(director: &Director) -> Result<()> {
    let lines = ["front", "back", SYNC].map(|interface| format!("link set {interface} down\n"));
    director.kill();
    director.namespace().ip(&lines.concat())
}

/// The interface by which several directors reach each other, and what it is plugged into.
pub(super) const SYNC: &str = "sync";
const SYNC_BRIDGE: &str = "bridge-sync";

/// The first and the last, which may be the same.
fn ends(names: &'static [&'static str]) -> (&'static str, &'static str) {
    (names[0], names[names.len() - 1])
}
