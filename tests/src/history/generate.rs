//! The generator: the steps of a seed.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::model::{Flow, Service};
use super::packet::{Kind, Packet};
use super::random::Random;
use super::{SERVICES, Step, virtual_address};

/// Packets that a history has at least.
const PACKETS: usize = 400;
/// Services that a history deletes at most: each takes the kernel two seconds, and a connection that was reset lasts ten.
const DELETIONS: usize = 2;
/// Ports of a service's clients begin at multiples of this: two services never share a client's port, which would be
/// one connection for a server behind NAT.
const PORTS: u16 = 10_000;

/// Makes the steps.
pub(super) fn steps(seed: u64) -> Vec<Step> {
    let mut generator = Generator::new(seed);
    generator.begin();
    let mut packets = 0;
    while packets < PACKETS {
        packets += generator.burst();
        if generator.random.percent(40) {
            generator.steps.push(Step::Services);
        }
        if generator.random.percent(5) {
            generator.steps.push(Step::Connections);
        }
        for _ in 0..generator.random.between(1, 3) {
            generator.edit();
        }
    }
    generator.burst();
    generator
        .steps
        .extend([Step::Services, Step::Connections, Step::Traffic]);
    generator.end();
    generator.steps
}

struct Generator {
    random: Random,
    services: Vec<Service>,
    clients: Vec<Ipv4Addr>,
    /// Services that were deleted.
    deletions: usize,
    steps: Vec<Step>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let clients = clients(&mut random);
        let count = random.between(1, SERVICES - 1);
        let services = (0..count).map(|number| {
            let first_port = PORTS * (u16::try_from(number).unwrap_or(0) + 2);
            Service::random(&mut random, virtual_address(seed, number), first_port)
        });
        let services = services.collect();
        Self {
            random,
            services,
            clients,
            deletions: 0,
            steps: Vec::new(),
        }
    }

    /// Adds all services with their servers.
    fn begin(&mut self) {
        let lines: Vec<_> = self.services.iter().flat_map(Service::add).collect();
        self.steps.extend(lines.into_iter().map(Step::Command));
    }

    /// Deletes all services.
    fn end(&mut self) {
        let services = self.services.iter_mut();
        let present = services.filter(|service| service.is_present);
        let lines: Vec<_> = present.map(Service::delete).collect();
        self.steps.extend(lines.into_iter().map(Step::Command));
    }

    /// A command, or none where there is nothing for it.
    fn edit(&mut self) {
        let index = self.random.below(self.services.len());
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let random = &mut self.random;
        if !service.is_present {
            let lines = service.revive(random);
            self.steps.extend(lines.into_iter().map(Step::Command));
            return;
        }
        if random.percent(3) && self.deletions < DELETIONS {
            self.deletions += 1;
            // Reading makes the kernel's estimator see everything.
            let delete = Step::Command(service.delete());
            self.steps.extend([Step::Traffic, delete]);
            return;
        }
        let present = service.servers(true);
        let server = present.get(random.below(present.len())).copied();
        let what = random.below(100);
        let lines = match (what, server) {
            (0..10, _) => vec![service.edit(random)],
            (10..30, Some(server)) => {
                vec![service.delete_server(server)]
            }
            (30..55, _) => return_or_add(random, service).into_iter().collect(),
            (_, Some(server)) => {
                let changed = &mut service.servers[server];
                if what < 65 {
                    changed.choose_thresholds(random);
                }
                if random.percent(75) {
                    changed.choose_weight(random);
                }
                vec![service.with_server("-e", &service.servers[server])]
            }
            _ => Vec::new(),
        };
        self.steps.extend(lines.into_iter().map(Step::Command));
    }

    /// Some packets; how many.
    fn burst(&mut self) -> usize {
        let count = self.random.between(2, 40);
        for _ in 0..count {
            let packet = self.packet();
            self.steps.push(Step::Packet(packet));
        }
        usize::try_from(count).unwrap_or(0)
    }

    fn packet(&mut self) -> Packet {
        let random = &mut self.random;
        let index = random.below(self.services.len());
        let service = &mut self.services[index];
        let mut kind = if service.is_tcp { Kind::Syn } else { Kind::Udp };
        let known = random.below(service.flows.len());
        let is_new = service.flows.is_empty() || random.percent(45);
        if is_new {
            let flow = new_flow(random, service, &self.clients);
            service.flows.push(flow);
            if random.percent(3) && service.is_tcp {
                // Of no connection.
                kind = Kind::Ack;
            }
        } else {
            kind = service.next_kind(random);
            if kind == Kind::Syn && service.flows[known].has_ended && !service.may_reuse() {
                kind = Kind::Ack;
            }
        }
        let place = if is_new {
            service.flows.len() - 1
        } else {
            known
        };
        let flow = &mut service.flows[place];
        if kind == Kind::Ack && flow.stays_half_open && !flow.has_ended {
            kind = Kind::Syn;
        }
        flow.has_ended |= matches!(kind, Kind::Fin | Kind::Rst);
        match kind {
            Kind::Syn => flow.was_acknowledged = false,
            Kind::Ack => flow.was_acknowledged = true,
            Kind::Fin | Kind::Rst | Kind::Udp => {}
        }
        let has_data = matches!(kind, Kind::Ack | Kind::Udp) && random.percent(30);
        let length = if has_data { random.between(1, 99) } else { 0 };
        Packet {
            kind,
            client: flow.client,
            service: SocketAddrV4::new(*service.address.ip(), flow.port),
            length: u8::try_from(length).unwrap_or(0),
        }
    }
}

/// A server that was deleted returns, perhaps with another weight, or one is added that was never there.
fn return_or_add(random: &mut Random, service: &mut Service) -> Option<String> {
    let absent = service.servers(false);
    let index = if absent.is_empty() || random.percent(25) {
        let server = service.new_server(random)?;
        service.servers.push(server);
        service.servers.len() - 1
    } else {
        let index = *random.pick(&absent);
        let server = &mut service.servers[index];
        server.is_present = true;
        if random.percent(50) {
            server.choose_weight(random);
        }
        index
    };
    Some(service.with_server("-a", &service.servers[index]))
}

fn new_flow(random: &mut Random, service: &mut Service, clients: &[Ipv4Addr]) -> Flow {
    let port = match service.address.port() {
        0 => *random.pick(&[80, 443, 8080]),
        port => port,
    };
    let client = SocketAddrV4::new(*random.pick(clients), service.next_port);
    service.next_port += 1;
    Flow {
        client,
        port,
        has_ended: false,
        was_acknowledged: false,
        stays_half_open: false,
    }
}

/// Some clients, of which some share a network.
fn clients(random: &mut Random) -> Vec<Ipv4Addr> {
    let count = random.between(1, 8);
    let networks: Vec<_> = (0..3).map(|_| random.between(0, 255)).collect();
    let client = |_| {
        let (network, host) = (*random.pick(&networks), random.between(1, 254));
        Ipv4Addr::from_bits(0x0a32_0000 | network << 8 | host)
    };
    (0..count).map(client).collect()
}
