//! The generator's model of the director: services with their servers, and clients' flows.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::packet::Kind;
use super::random::Random;
use super::server_address;

/// All schedulers but those that draw lots (twos) or choose nothing (none).
const SCHEDULERS: [&str; 13] = [
    "rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "sh", "dh", "mh", "lblc", "lblcr",
];
/// Those that look at the connections of a server that are not active, or at all of them.
const INACTIVE_MATTERS: [&str; 4] = ["lc", "wlc", "lblc", "lblcr"];
const SOURCE_HASH_FLAGS: [&str; 5] = [
    "",
    "",
    " -b sh-fallback",
    " -b sh-port",
    " -b sh-fallback,sh-port",
];
const MAGLEV_FLAGS: [&str; 5] = [
    "",
    "",
    " -b mh-fallback",
    " -b mh-port",
    " -b mh-fallback,mh-port",
];
const PERSISTENCE: [&str; 4] = [
    " -p 300",
    " -p 300 -M 255.255.255.0",
    " -p 300 -M 255.255.255.240",
    " -p 300 -M 255.255.0.0",
];

/// A virtual service.
pub(super) struct Service {
    pub(super) is_tcp: bool,
    /// Port 0: all ports.
    pub(super) address: SocketAddrV4,
    pub(super) scheduler: &'static str,
    flags: &'static str,
    /// Options of persistence; empty: none.
    persistence: &'static str,
    /// It is or was persistent.
    was_persistent: bool,
    /// Option of one-packet scheduling; empty: none.
    one_packet: &'static str,
    /// It is not deleted.
    pub(super) is_present: bool,
    /// Servers that it has or had.
    pub(super) servers: Vec<Server>,
    pub(super) flows: Vec<Flow>,
    /// Port of the next client.
    pub(super) next_port: u16,
}

/// A real server of a service.
pub(super) struct Server {
    number: u8,
    method: &'static str,
    port: u16,
    pub(super) weight: u32,
    /// Options of thresholds; empty: none.
    thresholds: String,
    pub(super) is_present: bool,
    /// It may be added again.
    pub(super) may_return: bool,
}

/// A client's connection or flow.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) client: SocketAddrV4,
    /// The port that it is for, where the service has all.
    pub(super) port: u16,
    /// A FIN or RST was sent.
    pub(super) has_ended: bool,
    /// An ACK was sent after its last SYN.
    pub(super) was_acknowledged: bool,
    /// No ACK is to be sent any more: it would establish a connection whose template may be another one than it began
    /// with. The kernel assures the one that it began with, the director the one in force.
    pub(super) stays_half_open: bool,
}

impl Service {
    pub(super) fn random(random: &mut Random, address: Ipv4Addr, first_port: u16) -> Self {
        let is_tcp = random.percent(70);
        let is_of_all_ports = random.percent(6);
        let port = match random.below(4) {
            0 => 80,
            1 => 443,
            2 => 8080,
            // Neither FTP nor what clients' ports may be.
            _ => u16::try_from(random.between(10_000, 19_999)).unwrap_or(80),
        };
        let port = if is_of_all_ports { 0 } else { port };
        let mut service = Self {
            is_tcp,
            address: SocketAddrV4::new(address, port),
            scheduler: "",
            flags: "",
            persistence: "",
            was_persistent: false,
            one_packet: if !is_tcp && random.percent(25) {
                " -o"
            } else {
                ""
            },
            is_present: true,
            servers: Vec::new(),
            flows: Vec::new(),
            next_port: first_port,
        };
        service.choose_scheduler(random);
        service.choose_persistence(random);
        let mut numbers: Vec<u8> = (1..=super::SERVERS).collect();
        for _ in 0..random.between(1, 6) {
            let number = numbers.remove(random.below(numbers.len()));
            let server = Server::random(random, number, port);
            service.servers.push(server);
        }
        service
    }

    fn choose_scheduler(&mut self, random: &mut Random) {
        self.scheduler = *random.pick(&SCHEDULERS);
        self.flags = match self.scheduler {
            "sh" => *random.pick(&SOURCE_HASH_FLAGS),
            "mh" => *random.pick(&MAGLEV_FLAGS),
            _ => "",
        };
    }

    fn choose_persistence(&mut self, random: &mut Random) {
        let chance = if self.address.port() == 0 { 100 } else { 25 };
        self.persistence = if random.percent(chance) {
            *random.pick(&PERSISTENCE)
        } else {
            ""
        };
        self.was_persistent |= !self.persistence.is_empty();
    }

    fn name(&self) -> String {
        let option = if self.is_tcp { "-t" } else { "-u" };
        format!("{option} {}", self.address)
    }

    /// The command that adds or edits it.
    pub(super) fn command(&self, command: &str) -> String {
        let (name, scheduler) = (self.name(), self.scheduler);
        let one_packet = self.one_packet;
        let (flags, persistence) = (self.flags, self.persistence);
        format!("{command} {name} -s {scheduler}{flags}{persistence}{one_packet}")
    }

    pub(super) fn delete(&mut self) -> String {
        self.is_present = false;
        self.lose_templates();
        // The kernel begins the counters of a server that returns with another service at what its estimator saw last,
        // which is not all of those that were deleted before.
        for server in self.servers.iter_mut().filter(|server| !server.is_present) {
            server.may_return = false;
        }
        format!("-D {}", self.name())
    }

    /// The commands that add it with the servers that it has.
    pub(super) fn add(&self) -> Vec<String> {
        let servers = self.servers.iter().filter(|server| server.is_present);
        let servers = servers.map(|server| self.with_server("-a", server));
        std::iter::once(self.command("-A")).chain(servers).collect()
    }

    /// It returns after it was deleted, perhaps with other options; the commands.
    pub(super) fn revive(&mut self, random: &mut Random) -> Vec<String> {
        self.is_present = true;
        if random.percent(30) {
            self.choose_scheduler(random);
        }
        if random.percent(30) {
            self.choose_persistence(random);
        }
        self.add()
    }

    /// Another scheduler, or other options; the command.
    pub(super) fn edit(&mut self, random: &mut Random) -> String {
        if random.percent(70) {
            self.choose_scheduler(random);
        }
        if random.percent(30) {
            self.choose_persistence(random);
        }
        self.command("-E")
    }

    /// The command that adds or edits a server.
    pub(super) fn with_server(&self, command: &str, server: &Server) -> String {
        let mut line = format!("{command} {} -r {}", self.name(), server.address());
        let Server { method, weight, .. } = server;
        let _ = write!(line, " {method} -w {weight}{}", server.thresholds);
        line
    }

    /// The command that deletes a server, by its index.
    pub(super) fn delete_server(&mut self, index: usize) -> String {
        self.lose_templates();
        let name = self.name();
        let server = &mut self.servers[index];
        server.is_present = false;
        format!("-d {name} -r {}", server.address())
    }

    /// Templates may be replaced from now on.
    fn lose_templates(&mut self) {
        let half_open = self.flows.iter_mut().filter(|flow| !flow.was_acknowledged);
        half_open.for_each(|flow| flow.stays_half_open = self.was_persistent);
    }

    /// Indexes of servers that it has, or had and may have again.
    pub(super) fn servers(&self, are_present: bool) -> Vec<usize> {
        let all = self.servers.iter().enumerate();
        let some = all.filter(|(_, server)| {
            server.is_present == are_present && (are_present || server.may_return)
        });
        some.map(|(index, _)| index).collect()
    }

    /// A server that it never had.
    pub(super) fn new_server(&self, random: &mut Random) -> Option<Server> {
        let is_new = |number: &u8| self.servers.iter().all(|server| server.number != *number);
        let new: Vec<_> = (1..=super::SERVERS).filter(is_new).collect();
        let number = *new.get(random.below(new.len()))?;
        Some(Server::random(random, number, self.address.port()))
    }

    /// Returns whether a new connection may take the place of one that has ended.
    ///
    /// The kernel removes the old one at the next tick of its clock. Until then it is one of its server's inactive
    /// connections, so that what chooses by them depends on the time. One that belongs to a template it does not
    /// replace.
    pub(super) fn may_reuse(&self) -> bool {
        let has_thresholds = self
            .servers
            .iter()
            .any(|server| !server.thresholds.is_empty());
        !INACTIVE_MATTERS.contains(&self.scheduler) && !has_thresholds && !self.was_persistent
    }

    /// A kind of packet for a flow that has begun.
    pub(super) fn next_kind(&self, random: &mut Random) -> Kind {
        if !self.is_tcp {
            return Kind::Udp;
        }
        match random.below(100) {
            0..60 => Kind::Ack,
            60..80 => Kind::Fin,
            80..92 => Kind::Rst,
            _ => Kind::Syn,
        }
    }
}

impl Server {
    fn random(random: &mut Random, number: u8, service_port: u16) -> Self {
        let method = *random.pick(&["-g", "-g", "-g", "-g", "-g", "-g", "-g", "-m", "-m", "-i"]);
        let port = if method == "-m" && service_port != 0 && random.percent(50) {
            8000
        } else {
            service_port
        };
        let mut server = Self {
            number,
            method,
            port,
            weight: 0,
            thresholds: String::new(),
            is_present: true,
            may_return: true,
        };
        server.choose_weight(random);
        if random.percent(15) {
            server.choose_thresholds(random);
        }
        server
    }

    fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(server_address(self.number), self.port)
    }

    /// Another weight than it has.
    pub(super) fn choose_weight(&mut self, random: &mut Random) {
        let before = self.weight;
        while self.weight == before {
            self.weight = match random.below(10) {
                0 | 1 => 0,
                2..8 => random.between(1, 6),
                8 => random.between(1, 30),
                _ => 100,
            };
        }
    }

    pub(super) fn choose_thresholds(&mut self, random: &mut Random) {
        let upper = random.between(1, 25);
        self.thresholds = match random.below(4) {
            0 => String::new(),
            1 => format!(" -x {upper}"),
            _ => format!(" -x {upper} -y {}", random.between(0, upper)),
        };
    }
}
