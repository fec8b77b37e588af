//! The part of a filter that the program judges: terms that at least every packet matches that the filter asks for.

use std::net::{IpAddr, SocketAddr};

use lvs_api::connections::Prefix;
use lvs_api::model::{Protocol as ApiProtocol, ServiceId};
use lvs_common::abi::{TRACE_TERMS, TraceFilter, TraceTerm, address_words};
use lvs_common::connection::Protocol;
use lvs_common::wire::protocol;
use zerocopy::FromZeros as _;

use super::expression::{Service, Test};
use super::filter::Filter;
use crate::address::widen;

/// A virtual service with the addresses that its packets have on the other side of the director.
#[derive(Clone, Debug)]
pub struct ServiceAddresses {
    /// The service.
    pub id: ServiceId,
    /// Its real servers by NAT: replies come from them. A port of 0 is any.
    pub nat_servers: Vec<SocketAddr>,
    /// One of its servers is reached by a tunnel or with source translation: the packets to it have addresses of the
    /// director.
    pub has_own_sources: bool,
}

/// Conditions on a packet as it came, all of which hold; a missing one always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Term {
    address: Option<(IpAddr, u8)>,
    ports: Option<[u16; 2]>,
    protocol: Option<u8>,
    family: Option<u8>,
}

impl Term {
    /// Both; where both ask for the same, the first one stands: that is less than is asked.
    fn and(self, other: Self) -> Self {
        Self {
            address: self.address.or(other.address),
            ports: self.ports.or(other.ports),
            protocol: self.protocol.or(other.protocol),
            family: self.family.or(other.family),
        }
    }

    fn to_abi(self) -> TraceTerm {
        let (address, length) = self.address.unwrap_or((IpAddr::from([0; 16]), 0));
        let family = match self.address {
            Some((address, _)) if address.is_ipv4() => 4,
            Some(_) => 6,
            None => self.family.unwrap_or(0),
        };
        TraceTerm {
            address: address_words(widen(address)),
            mask: mask(length),
            ports: self.ports.unwrap_or([0, u16::MAX]),
            protocol: self.protocol.unwrap_or(0),
            family,
            reserved: [0; 2],
        }
    }
}

/// The first bits of an address.
fn mask(length: u8) -> [u64; 2] {
    let bits = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    address_words(bits.to_be_bytes())
}

/// The packets that the program records for these filters, with images of so many bytes: all that one of them asks for,
/// and perhaps more.
pub fn program_filter<'a>(
    filters: impl IntoIterator<Item = &'a Filter>,
    services: &[ServiceAddresses],
    image: u32,
) -> TraceFilter {
    let every = TraceFilter {
        image,
        ..TraceFilter::new_zeroed()
    };
    let mut all = Vec::new();
    for Filter(test) in filters {
        let Some(terms) = terms(test, services) else {
            return every;
        };
        all.extend(terms);
    }
    if !add_other_sides(&mut all, services) {
        return every;
    }
    if all.is_empty() {
        // What the program cannot judge is recorded all the same.
        all.push(Term {
            ports: Some([1, 0]),
            ..Term::default()
        });
    }
    if all.len() > TRACE_TERMS {
        return every;
    }
    let mut filter = every;
    filter.count = u32::try_from(all.len()).unwrap_or(0);
    for (place, term) in filter.terms.iter_mut().zip(all) {
        *place = term.to_abi();
    }
    filter
}

/// Terms of which one is true of each packet that a test is true of; none: any packet may be one.
fn terms(test: &Test, services: &[ServiceAddresses]) -> Option<Vec<Term>> {
    let one = |term| Some(vec![term]);
    match test {
        Test::Net(_, prefix) => one(Term {
            address: Some(network(*prefix)),
            ..Term::default()
        }),
        Test::Ports(_, ports) => one(Term {
            ports: Some(*ports),
            ..Term::default()
        }),
        // Any other is recorded whatever the terms are.
        Test::Protocol(number) if Protocol::from_number(*number).is_none() => Some(Vec::new()),
        Test::Protocol(number) => one(Term {
            protocol: Some(*number),
            ..Term::default()
        }),
        Test::Family(family) => one(Term {
            family: Some(*family),
            ..Term::default()
        }),
        Test::Service(service @ Service::Address(..)) => {
            let found: Vec<_> = services
                .iter()
                .filter(|served| service.is(&served.id))
                .filter_map(|served| service_term(&served.id))
                .collect();
            Some(found)
        }
        Test::And(one, other) => match (terms(one, services), terms(other, services)) {
            (Some(ones), Some(others)) => {
                let both = ones
                    .iter()
                    .flat_map(|one| others.iter().map(|other| one.and(*other)));
                let both: Vec<_> = both.take(TRACE_TERMS + 1).collect();
                (both.len() <= TRACE_TERMS).then_some(both)
            }
            (ones, others) => ones.or(others),
        },
        Test::Or(one, other) => {
            let mut all = terms(one, services)?;
            all.extend(terms(other, services)?);
            Some(all)
        }
        Test::Any
        | Test::Interface(_)
        | Test::Service(Service::Mark(_))
        | Test::Server(..)
        | Test::Verdict(_)
        | Test::New
        | Test::Not(_) => None,
    }
}

fn network(prefix: Prefix) -> (IpAddr, u8) {
    let length = prefix.length();
    match prefix.address() {
        IpAddr::V4(address) => {
            let bits = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (
                IpAddr::from((address.to_bits() & bits).to_be_bytes()),
                length,
            )
        }
        IpAddr::V6(address) => {
            let bits = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            (
                IpAddr::from((address.to_bits() & bits).to_be_bytes()),
                length,
            )
        }
    }
}

fn service_term(id: &ServiceId) -> Option<Term> {
    let ServiceId::Address { protocol, address } = id else {
        return None;
    };
    Some(Term {
        address: Some((address.ip(), length(address.ip()))),
        ports: (address.port() != 0).then_some([address.port(); 2]),
        protocol: Some(number(*protocol)),
        family: None,
    })
}

const fn number(protocol: ApiProtocol) -> u8 {
    match protocol {
        ApiProtocol::Tcp => protocol::TCP,
        ApiProtocol::Udp => protocol::UDP,
        ApiProtocol::Sctp => protocol::SCTP,
    }
}

const fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Adds terms for packets that match only as they left, or by their connection: that came with other addresses or
/// ports. Returns false if they are too many for the program, or cannot be told from others.
fn add_other_sides(all: &mut Vec<Term>, services: &[ServiceAddresses]) -> bool {
    let rewrites = |it: &&ServiceAddresses| it.has_own_sources || !it.nat_servers.is_empty();
    let mut rewritten = services.iter().filter(rewrites).peekable();
    if rewritten.peek().is_none() {
        return true;
    }
    // The client's address is on both sides, unless it is translated; the port beside it is not.
    for term in all.clone() {
        if term.address.is_some() && term.ports.is_some() {
            all.push(Term {
                ports: None,
                ..term
            });
        }
    }
    if all.len() > TRACE_TERMS {
        return false;
    }
    let asked = all.clone();
    for service in rewritten {
        if !asked.iter().any(|term| concerns(term, service)) {
            continue;
        }
        let Some(to_server) = service_term(&service.id) else {
            return false;
        };
        all.push(to_server);
        if !service.nat_servers.is_empty() {
            let Some(network) = cover(&service.nat_servers) else {
                return false;
            };
            all.push(Term {
                address: Some(network),
                ..Term::default()
            });
        }
        if all.len() > TRACE_TERMS {
            return false;
        }
    }
    true
}

/// True if packets of a service may match a term on one side of the director alone.
fn concerns(term: &Term, service: &ServiceAddresses) -> bool {
    let (virtual_address, servers) = match &service.id {
        ServiceId::Address { address, .. } => (Some(*address), &service.nat_servers),
        // Any address and port may be its.
        ServiceId::Mark { .. } => return term.address.is_some() || term.ports.is_some(),
    };
    let mut ends = virtual_address.iter().chain(servers);
    service.has_own_sources
        || match (term.address, term.ports) {
            (Some((network, bits)), _) => {
                ends.any(|end| common_bits(network, end.ip()).is_some_and(|common| common >= bits))
            }
            (None, Some([first, last])) => {
                ends.any(|end| end.port() == 0 || (first..=last).contains(&end.port()))
            }
            // NAT changes neither protocol nor family.
            (None, None) => false,
        }
}

/// The smallest network with all these addresses.
fn cover(servers: &[SocketAddr]) -> Option<(IpAddr, u8)> {
    let (first, rest) = servers.split_first()?;
    let first = first.ip();
    rest.iter()
        .try_fold((first, length(first)), |(_, bits), server| {
            Some((first, bits.min(common_bits(first, server.ip())?)))
        })
}

/// The number of first bits that two addresses of one family have in common.
fn common_bits(one: IpAddr, other: IpAddr) -> Option<u8> {
    let zeros = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return None,
    };
    u8::try_from(zeros).ok()
}

#[cfg(test)]
mod tests {
    use lvs_common::forward::packet_record::may_match;
    use lvs_common::wire::protocol;
    use lvs_frames::{Content, Packet as TestPacket};
    use proptest::prelude::*;

    use super::super::facts::Facts;
    use super::super::flow::{Flow, flow};
    use super::*;
    use crate::frame_image::FrameImage;

    const FILTERS: [&str; 20] = [
        "",
        "host 10.0.0.1",
        "src host 10.0.0.1 and dst port 80",
        "net 10.0.0.0/30 or net 2001:db8::/127",
        "tcp",
        "udp port 81",
        "not port 80",
        "portrange 80-81 and (host 10.0.0.2 or ip6)",
        "ip and not tcp",
        "icmp or host 10.0.0.3",
        "(port 80 or port 81) and (host 10.0.0.1 or host 10.0.0.2) and (tcp or udp)",
        "verdict forward",
        "service 10.0.0.1:80",
        "service tcp:10.0.0.1:80 or host 2001:db8::1",
        "src net 0.0.0.0/0",
        "dst portrange 0-65535 and ip6",
        "host 10.0.0.3 and port 80",
        "host 10.0.0.1 and portrange 79-80",
        "port 81",
        "host 10.0.0.4",
    ];

    const VIRTUAL: &str = "10.0.0.1:80";
    const SOURCE: &str = "10.0.0.4:82";

    /// A service with real servers at other ports than its own, perhaps with source translation.
    fn services(translated: bool) -> Vec<ServiceAddresses> {
        vec![ServiceAddresses {
            id: ServiceId::Address {
                protocol: ApiProtocol::Tcp,
                address: VIRTUAL.parse().unwrap(),
            },
            nat_servers: vec![
                "10.0.0.2:81".parse().unwrap(),
                "10.0.0.3:81".parse().unwrap(),
            ],
            has_own_sources: translated,
        }]
    }

    fn address(v6: bool, host: u8) -> IpAddr {
        if v6 {
            IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)])
        } else {
            IpAddr::from([10, 0, 0, host])
        }
    }

    fn tcp_flow(source: SocketAddr, destination: SocketAddr) -> Flow {
        Flow {
            source: source.ip(),
            destination: destination.ip(),
            protocol: protocol::TCP,
            ports: Some([source.port(), destination.port()]),
        }
    }

    /// The facts of a frame: to the service, or a reply to a client at the third address.
    fn facts(frame: &[u8], services: &[ServiceAddresses]) -> Facts {
        let came = flow(frame, true);
        let [service] = services else { unreachable!() };
        let ends = came
            .filter(|came| came.protocol == protocol::TCP)
            .and_then(|came| {
                let [from, to] = came.ports?;
                Some([(came.source, from), (came.destination, to)].map(SocketAddr::from))
            });
        let at: SocketAddr = VIRTUAL.parse().unwrap();
        let own: SocketAddr = SOURCE.parse().unwrap();
        let server = service.nat_servers[0];
        let (left, connection) = match ends {
            Some([client, to]) if to == at => {
                let source = if service.has_own_sources { own } else { client };
                (Some(tcp_flow(source, server)), came)
            }
            Some([from, to])
                if service.nat_servers.contains(&from)
                    && (!service.has_own_sources || to == own) =>
            {
                let client = if service.has_own_sources {
                    "10.0.0.3:79".parse().unwrap()
                } else {
                    to
                };
                let left = tcp_flow(at, client);
                (Some(left), Some(left))
            }
            _ => (None, None),
        };
        Facts {
            interface: "eth0".to_owned(),
            came,
            left,
            connection,
            service: left.map(|_| service.id),
            server: None,
            verdict: "forward-nat",
            is_new: false,
        }
    }

    fn passes(filter: &TraceFilter, frame: &[u8]) -> bool {
        may_match(&FrameImage::new(frame), filter) != 0
    }

    proptest! {
        #[test]
        fn the_program_records_all_that_a_filter_asks_for(
            v6: bool,
            hosts in [1_u8..5, 1_u8..5],
            ports in [79_u16..83, 79_u16..83],
            udp: bool,
            options: bool,
            translated: bool,
            one in 0..FILTERS.len(),
            other in 0..FILTERS.len(),
        ) {
            let content = if udp {
                Content::Udp { ports, checksum: true, data: vec![0; 20] }
            } else {
                Content::Tcp { ports, flags: 2, data: Vec::new() }
            };
            let mut packet = TestPacket::new(address(v6, hosts[0]), address(v6, hosts[1]), content);
            if options && !v6 {
                packet.options = vec![1; 4];
            }
            let frame = packet.frame();
            let filters = [FILTERS[one], FILTERS[other]].map(|text| text.parse::<Filter>().unwrap());
            let services = services(translated);
            let program = program_filter(&filters, &services, 0);
            let facts = facts(&frame, &services);
            let asked = filters.iter().any(|filter| filter.matches(&facts));
            prop_assert!(!asked || passes(&program, &frame), "{:?}: {:?}", filters, facts);
        }
    }

    #[test]
    fn the_program_leaves_out_what_nobody_asks_for() {
        let tcp = |from, to, ports| {
            let content = Content::Tcp {
                ports,
                flags: 2,
                data: Vec::new(),
            };
            TestPacket::new(address(false, from), address(false, to), content).frame()
        };
        let program = |text: &str| {
            let filters = [text.parse::<Filter>().unwrap()];
            program_filter(&filters, &services(false), 0)
        };
        for text in [
            "host 10.0.0.9",
            "port 99 and tcp",
            "udp",
            "ip6",
            "icmp",
            "service 10.0.0.9:80",
        ] {
            assert!(!passes(&program(text), &tcp(4, 5, [1000, 80])), "{text}");
        }
        assert!(!passes(
            &program("host 10.0.0.9 and port 80"),
            &tcp(4, 5, [1000, 80])
        ));
        // The reply of a real server behind NAT carries neither the virtual address nor its port.
        let reply = tcp(3, 7, [81, 1000]);
        assert!(passes(&program("service 10.0.0.1:80"), &reply));
        assert!(passes(&program("port 80"), &reply));
        assert!(!passes(&program("host 10.0.0.9"), &reply));
    }
}
