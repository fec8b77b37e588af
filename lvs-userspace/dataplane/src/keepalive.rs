//! Makes silent clients of servers that are down speak, so that the data path can reset them.
//!
//! A client that waits for a server's answer sends nothing, and a reset that it believes carries the
//! number it expects next (RFC 5961 section 3.2), which only its own segments tell. So it gets a
//! keep-alive, as its server might have sent it (RFC 9293 section 3.8.4): a bare acknowledgement whose
//! number lies outside of its window. It has to answer with the numbers it has (section 3.10.7.4),
//! and that answer becomes a reset of the server's side; the answer to the next keep-alive is reset exactly.
//!
//! Clients behind a firewall that drops what does not fit into a window stay silent until they speak
//! themselves.

use std::collections::HashMap;
use std::io;
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use lvs_api::role::Role;
use lvs_common::abi::Server;
use lvs_common::checksum::Sum;
use lvs_common::connection::{Key, Kind, Protocol, Servers as _, tcp};
use lvs_common::family::{V4, V6};
use lvs_common::network::Network;
use lvs_common::wire::{Ipv4, Ipv6, Ports, Tcp};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::sync::watch;
use tracing::debug;
use zerocopy::IntoBytes;
use zerocopy::byteorder::network_endian::{U16, U32};

use crate::address::narrow;
use crate::kernel::{EntryMapping, Maps};

/// Keep-alives to a client: the answer to one resets the server, that to another one the client. One more for a
/// number that its window might happen to hold, because the next one is half of all numbers away; and one for
/// what is lost.
const ATTEMPTS: u8 = 4;
/// Time from one to the next: Linux answers a socket's strange segments every half second at most
/// (`tcp_invalid_ratelimit`).
const PAUSE: Duration = Duration::from_millis(600);
/// Keep-alives between two rests: 50,000 a second at most.
const BURST: u32 = 500;
const REST: Duration = Duration::from_millis(10);
/// Sequence number of the first segments. No window is larger than 2^30.
const SEQUENCE: u32 = 0x4000_0000;
const FLAG_ACK: u8 = 0x10;
const HOP_LIMIT: u8 = 64;

/// When the clients of each server are asked, and how often they were. Each server has its own times: clients that
/// are asked sooner, because another server died, do not answer.
#[derive(Default)]
struct Schedule(HashMap<u32, (u8, Instant)>);

impl Schedule {
    /// Adds a server, whose clients are asked at once.
    fn insert(&mut self, server: u32, now: Instant) {
        self.0.insert(server, (0, now));
    }

    /// Time until a server's clients are to be asked. `None`: there are none.
    fn next(&self, now: Instant) -> Option<Duration> {
        let due = self.0.values().map(|&(_, due)| due).min();
        due.map(|due| due.saturating_duration_since(now))
    }

    /// The servers whose clients are asked now, and how often they were. They are due again after a pause, or were
    /// asked often enough.
    fn pop_due(&mut self, now: Instant) -> HashMap<u32, u8> {
        let mut due = HashMap::new();
        self.0.retain(|&server, (attempts, when)| {
            if *when <= now {
                due.insert(server, *attempts);
                *attempts += 1;
                *when = now + PAUSE;
            }
            *attempts < ATTEMPTS
        });
        due
    }

    /// Asks nobody now who would be due.
    fn postpone(&mut self, now: Instant) {
        for (_, when) in self.0.values_mut() {
            *when = (*when).max(now + PAUSE);
        }
    }
}

/// Sockets that send whole IP packets.
struct Keepalives {
    v4: Socket,
    v6: Socket,
}

impl Keepalives {
    fn open() -> io::Result<Self> {
        let raw = |domain| -> io::Result<Socket> {
            let socket = Socket::new(domain, Type::RAW, Some(libc::IPPROTO_RAW.into()))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Self {
            v4: raw(Domain::IPV4)?,
            v6: raw(Domain::IPV6)?,
        })
    }

    fn run(&self, maps: &Arc<Maps>, servers: &Receiver<u32>, role: &watch::Receiver<Role>) {
        let mut schedule = Schedule::default();
        loop {
            let next = match schedule.next(Instant::now()) {
                None => servers.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => servers.recv_timeout(wait),
            };
            match next {
                Ok(server) => {
                    // A rack that fails is walked through once.
                    for server in iter::once(server).chain(servers.try_iter()) {
                        schedule.insert(server, Instant::now());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            schedule.0.retain(|&server, _| is_down(maps, server));
            // The master asks. Who becomes master asks those of whom it is not known whether they were.
            if *role.borrow() == Role::Backup {
                schedule.postpone(Instant::now());
                continue;
            }
            let due = schedule.pop_due(Instant::now());
            let sent = self.ask::<V4>(maps, &maps.connections4, &due)
                + self.ask::<V6>(maps, &maps.connections6, &due);
            debug!(sent, "asked silent clients of servers that are down");
        }
    }

    /// Asks every client that waits for one of the servers. Returns how many those are.
    fn ask<F: Packet>(
        &self,
        maps: &Maps,
        table: &EntryMapping<F>,
        servers: &HashMap<u32, u8>,
    ) -> u32 {
        let mut sent = 0;
        if servers.is_empty() {
            return sent;
        }
        for way in 0..table.len() {
            let Some(attempts) = server(maps, table, way).and_then(|server| servers.get(&server))
            else {
                continue;
            };
            let Some(key) = waiting(table, way) else {
                continue;
            };
            let sequence = SEQUENCE.wrapping_add(u32::from(*attempts) << 31);
            let (to, packet) = F::packet(&key, sequence);
            let socket = if F::NUMBER == 4 { &self.v4 } else { &self.v6 };
            if let Err(error) = socket.send_to(&packet, &to) {
                debug!("cannot ask {to:?}: {error}");
            }
            sent += 1;
            if sent % BURST == 0 {
                std::thread::sleep(REST);
            }
        }
        sent
    }
}

/// Asks the clients of the servers whose indexes arrive, in a thread of its own, until nobody can send
/// any more. A backup waits with that until it is master.
pub fn start(
    maps: Arc<Maps>,
    servers: Receiver<u32>,
    role: watch::Receiver<Role>,
) -> io::Result<()> {
    let keepalives = Keepalives::open()?;
    let thread = std::thread::Builder::new().name("keepalive".to_owned());
    thread.spawn(move || keepalives.run(&maps, &servers, &role))?;
    Ok(())
}

fn is_down(maps: &Maps, server: u32) -> bool {
    let server = maps.servers.read(server);
    server.is_some_and(|server| server.flags & Server::DOWN != 0)
}

/// Server index of a TCP connection; means something while its tag says that it is live.
fn server<F: Network>(maps: &Maps, table: &EntryMapping<F>, way: u32) -> Option<u32> {
    let (protocol, kind, record) = table.route(way);
    let is_tcp = protocol == Protocol::Tcp as u8 && kind == Kind::Request;
    is_tcp.then(|| maps.loads.server_of(&record))
}

/// The key of a connection whose client may be waiting: also for its reset, if only the server's side has had one.
fn waiting<F: Network>(table: &EntryMapping<F>, way: u32) -> Option<Key<F>> {
    use tcp::State::{Close, CloseWait, Established, FinWait, LastAck};
    let (tag, entry) = table.read_live(way)?;
    let state = tcp::State::from_raw(tag.state());
    matches!(state, Established | FinWait | CloseWait | LastAck | Close).then_some(entry.key)
}

/// A family's packets.
trait Packet: Network {
    /// A segment from the virtual address to the client, with its address for the socket.
    fn packet(key: &Key<Self>, sequence: u32) -> (SockAddr, Vec<u8>);
}

impl Packet for V4 {
    fn packet(key: &Key<Self>, sequence: u32) -> (SockAddr, Vec<u8>) {
        // The kernel completes length, identification and checksum.
        let header = Ipv4 {
            version_length: 0x45,
            service: 0,
            total_length: U16::ZERO,
            identification: U16::ZERO,
            fragment: U16::new(Ipv4::DONT_FRAGMENT),
            ttl: HOP_LIMIT,
            protocol: Protocol::Tcp as u8,
            checksum: [0; 2],
            source: key.destination,
            destination: key.source,
        };
        let packet = [header.as_bytes(), segment::<Self>(key, sequence).as_bytes()].concat();
        (to(key), packet)
    }
}

impl Packet for V6 {
    fn packet(key: &Key<Self>, sequence: u32) -> (SockAddr, Vec<u8>) {
        let header = Ipv6 {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(u16::from(LENGTH)),
            next_header: Protocol::Tcp as u8,
            hop_limit: HOP_LIMIT,
            source: key.destination,
            destination: key.source,
        };
        let packet = [header.as_bytes(), segment::<Self>(key, sequence).as_bytes()].concat();
        (to(key), packet)
    }
}

/// Bytes of a TCP header without options.
const LENGTH: u8 = 20;

/// A raw socket takes an address without a port.
fn to<F: Network>(key: &Key<F>) -> SockAddr {
    let address: IpAddr = narrow(&F::widen(key.source), F::NUMBER);
    SocketAddr::new(address, 0).into()
}

fn segment<F: Network>(key: &Key<F>, sequence: u32) -> Tcp {
    let ports: Ports = key.ports.reversed();
    let sequence = U32::new(sequence);
    let acknowledgement = U32::ZERO;
    let pseudo: Sum = F::pseudo(
        &key.destination,
        &key.source,
        Protocol::Tcp as u8,
        u32::from(LENGTH),
    );
    let checksum = pseudo
        .add(ports.to_bytes())
        .add(sequence.to_bytes())
        .add([LENGTH << 2, FLAG_ACK, 0, 0])
        .checksum();
    Tcp {
        ports,
        sequence,
        acknowledgement,
        offset: LENGTH << 2,
        flags: FLAG_ACK,
        window: U16::ZERO,
        checksum,
        urgent: U16::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lvs_common::connection::{Key, Kind, Ports};
    use lvs_common::family::{V4, V6};

    use super::{ATTEMPTS, PAUSE, Packet, Schedule};

    #[test]
    fn a_server_that_dies_later_spends_no_attempt_of_another() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert_eq!(schedule.next(start), None);
        schedule.insert(1, start);
        assert_eq!(schedule.pop_due(start), [(1, 0)].into());
        schedule.insert(2, start + PAUSE / 2);
        assert_eq!(schedule.pop_due(start + PAUSE / 2), [(2, 0)].into());
        assert_eq!(schedule.next(start + PAUSE / 2), Some(PAUSE / 2));
        for attempt in 1..ATTEMPTS {
            let now = start + PAUSE * attempt.into();
            assert_eq!(schedule.pop_due(now), [(1, attempt)].into());
            assert_eq!(schedule.pop_due(now + PAUSE / 2), [(2, attempt)].into());
        }
        assert_eq!(schedule.next(start), None);
    }

    fn sum(bytes: &[u8]) -> u32 {
        let words = bytes.chunks(2);
        let total: u32 = words
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        (total & 0xffff) + (total >> 16)
    }

    fn key<F: super::Network>(source: F::Address, destination: F::Address) -> Key<F> {
        Key {
            source,
            destination,
            ports: Ports {
                source: 40_000.into(),
                destination: 80.into(),
            },
            protocol: 6,
            kind: Kind::Request as u8,
        }
    }

    /// Ports, sequence and acknowledgement number, data offset and flags.
    const SEGMENT: [u8; 14] = [0, 80, 0x9c, 0x40, 0x40, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10];

    #[test]
    fn an_ipv4_client_hears_from_the_virtual_address() {
        let (to, packet) = V4::packet(&key([203, 0, 113, 7], [192, 0, 2, 1]), 0x4000_0001);
        assert_eq!(to.as_socket().unwrap().to_string(), "203.0.113.7:0");
        assert_eq!(packet.len(), 40);
        assert_eq!(packet[..2], [0x45, 0]);
        assert_eq!(packet[8..10], [64, 6]);
        assert_eq!(packet[12..20], [192, 0, 2, 1, 203, 0, 113, 7]);
        assert_eq!(packet[20..34], SEGMENT);
        let pseudo = [&packet[12..20], &[0, 6, 0, 20]].concat();
        assert_eq!(sum(&[&pseudo[..], &packet[20..]].concat()), 0xffff);
    }

    #[test]
    fn an_ipv6_client_hears_from_the_virtual_address() {
        let (client, virtual_address) = ([0xfd; 16], [0x20; 16]);
        let (to, packet) = V6::packet(&key(client, virtual_address), 0x4000_0001);
        assert!(to.as_socket_ipv6().is_some());
        assert_eq!(packet.len(), 60);
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
        assert_eq!(packet[8..24], virtual_address);
        assert_eq!(packet[24..40], client);
        assert_eq!(packet[40..54], SEGMENT);
        let pseudo = [&packet[8..40], &[0, 0, 0, 20, 0, 0, 0, 6]].concat();
        assert_eq!(sum(&[&pseudo[..], &packet[40..]].concat()), 0xffff);
    }
}
