//! Replicas applied to a table in plain memory.

use std::sync::Barrier;
use std::thread;

use lvs_common::abi::{Address, ServiceKey, WAYS, ticks};
use lvs_common::connection::{Entry, Ports, Servers as _, Tag, tcp};
use lvs_common::family::V4;
use lvs_dataplane::address::widen;
use lvs_dataplane::kernel::{EntryMapping, ServerLoads};
use tcp::State::{Established, FinWait, SynReceived};

use super::*;

const NOW: u32 = u32::MAX - 5;
const SECRETS: [u64; 16] = [0x9e37_79b9_7f4a_7c15; 16];
const CLIENT: ([u8; 4], u16) = ([198, 51, 100, 7], 40_000);
const SERVICE: ([u8; 4], u16) = ([192, 0, 2, 10], 80);

struct Fixture {
    entries: EntryMapping<V4>,
    loads: ServerLoads,
}

impl Fixture {
    fn new(ways: u32) -> Self {
        Self {
            entries: EntryMapping::zeroed(ways),
            loads: ServerLoads::zeroed(8),
        }
    }

    fn table(&self) -> Table<'_, V4> {
        Table::new(&self.entries, &self.loads)
    }

    fn apply(&self, replica: &BoundReplica<V4>) -> Result<(), Discard> {
        self.apply_at(replica, NOW)
    }

    fn apply_at(&self, replica: &BoundReplica<V4>, now: u32) -> Result<(), Discard> {
        let protocol = Protocol::from_number(replica.key.protocol);
        let over = protocol.is_some_and(|protocol| !protocol.active(replica.state));
        let refuse = |existing: Existing| existing.outlives(over);
        replica.apply(self.table(), &SECRETS, now, refuse).map(drop)
    }

    fn live(&self) -> Vec<(u32, Tag, Entry<V4>)> {
        (0..self.entries.len())
            .map(|way| {
                (
                    way,
                    self.entries.tag(way).unwrap(),
                    self.entries.read(way).unwrap(),
                )
            })
            .filter(|(_, tag, _)| tag.is_live())
            .collect()
    }

    fn connection(&self) -> (Tag, Entry<V4>) {
        let live = self.live();
        let mut requests = live
            .iter()
            .filter(|(_, _, entry)| entry.key.kind != Kind::Reply as u8);
        let &(_, tag, entry) = requests.next().expect("one connection");
        assert!(requests.next().is_none(), "and no other");
        (tag, entry)
    }

    /// Index of the connection's server.
    fn server(&self) -> u32 {
        self.loads.server_of(&self.connection().1.record)
    }

    /// Active and inactive connections and templates.
    fn load(&self, server: u32) -> (u32, u32, u32) {
        let load = self.loads.read(server).unwrap();
        (load.active(), load.inactive(), load.templates)
    }
}

fn server(number: u32) -> Recognized {
    let address: Address = widen([10, 0, 0, u8::try_from(number).unwrap()].into());
    Recognized {
        by_call_id: false,
        record: Record::new(number, 1, Method::Direct, false),
        service: ServiceKey {
            address: widen(SERVICE.0.into()),
            port: SERVICE.1.into(),
            protocol: 6,
            family: 4,
        },
        server: Server {
            address,
            port: 8080.into(),
            family: 4,
            flags: 0,
            service: 1,
            hop: 0,
            source_pool: 0,
            tunnel_port: 0.into(),
        },
    }
}

fn connection(
    client: ([u8; 4], u16),
    virtual_address: ([u8; 4], u16),
    state: tcp::State,
    recognized: &Recognized,
) -> BoundReplica<V4> {
    let key = Key {
        source: client.0,
        destination: virtual_address.0,
        ports: Ports {
            source: client.1.into(),
            destination: virtual_address.1.into(),
        },
        protocol: 6,
        kind: Kind::Request as u8,
    };
    BoundReplica::new(key, state as u8, ticks(900), recognized)
}

fn replica(state: tcp::State, recognized: &Recognized) -> BoundReplica<V4> {
    connection(CLIENT, SERVICE, state, recognized)
}

#[test]
fn a_connection_is_inserted_as_it_was_received() {
    let fixture = Fixture::new(64);
    fixture.apply(&replica(Established, &server(3))).unwrap();
    let (tag, entry) = fixture.connection();
    assert_eq!(tag.state(), Established as u8);
    assert!(!tag.is_half_open());
    assert_eq!((entry.seen, entry.timeout), (NOW, ticks(900)));
    let record = &entry.record;
    assert_eq!(
        (
            fixture.loads.server_of(record),
            fixture.loads.service_of(record)
        ),
        (3, 1)
    );
    assert_eq!(
        fixture.live().len(),
        1,
        "direct routing needs no entry for replies"
    );
    assert_eq!(fixture.load(3), (1, 0, 0));
}

#[test]
fn a_later_replica_updates_state_timeout_and_load() {
    let fixture = Fixture::new(64);
    fixture.apply(&replica(SynReceived, &server(3))).unwrap();
    assert!(fixture.connection().0.is_half_open());
    fixture.apply(&replica(Established, &server(3))).unwrap();
    assert_eq!(fixture.load(3), (1, 0, 0));
    assert!(!fixture.connection().0.is_half_open());
    let over = BoundReplica {
        timeout: ticks(120),
        ..replica(FinWait, &server(3))
    };
    fixture
        .apply_at(&over, NOW.wrapping_add(ticks(10)))
        .unwrap();
    let (tag, entry) = fixture.connection();
    assert_eq!((tag.state(), entry.timeout), (FinWait as u8, ticks(120)));
    assert_eq!(entry.seen, NOW.wrapping_add(ticks(10)));
    assert_eq!(fixture.load(3), (0, 1, 0));
}

#[test]
fn a_nat_connection_gets_an_entry_for_its_replies() {
    let fixture = Fixture::new(64);
    let mut nat = server(3);
    nat.record.method = Method::Nat as u8;
    for state in [SynReceived, Established] {
        fixture.apply(&replica(state, &nat)).unwrap();
        let live = fixture.live();
        let [(a, _, first), (b, _, second)] = live.as_slice() else {
            panic!("two entries: {live:?}");
        };
        assert_eq!((first.partner, second.partner), (b + 1, a + 1));
        let (reply, request) = if first.key.kind == Kind::Reply as u8 {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(reply.key.source, [10, 0, 0, 3]);
        assert_eq!(reply.key.destination, CLIENT.0);
        assert_eq!(reply.key.ports.source.get(), 8080);
        assert_eq!(reply.key.ports.destination.get(), CLIENT.1);
        // The way that its client's packets come by may not be the one that leads to it.
        assert_ne!(request.record.method & Record::ASYMMETRIC, 0);
        let half_open = live.iter().map(|(_, tag, _)| tag.is_half_open());
        assert!(half_open.eq([state == SynReceived; 2]));
    }
    assert_eq!(fixture.load(3), (1, 0, 0));
    // The same replies cannot be another connection's, too.
    let other = connection(CLIENT, ([192, 0, 2, 11], 80), Established, &nat);
    assert_eq!(fixture.apply(&other), Err(Discard::SourceTaken));
    assert_eq!((fixture.live().len(), fixture.load(3)), (2, (1, 0, 0)));
}

#[test]
fn a_translated_connection_keeps_the_source_that_its_server_sees() {
    let fixture = Fixture::new(64);
    let mut nat = server(3);
    nat.record.method = Method::Nat as u8;
    let own = [10, 0, 0, 254];
    let seen = |port: u16| replica(Established, &nat).with_source(own, port.into());
    let replies = || {
        let live = fixture.live();
        let reply = live
            .iter()
            .find(|(.., entry)| entry.key.kind == Kind::Reply as u8);
        let key = reply.expect("one for replies").2.key;
        assert_eq!(live.len(), 2);
        assert_eq!(key.source, [10, 0, 0, 3]);
        (key.destination, key.ports.destination.get())
    };
    for _ in 0..2 {
        fixture.apply(&seen(2000)).unwrap();
        assert_eq!(replies(), (own, 2000));
    }
    // The other director has made the connection anew.
    fixture.apply(&seen(2001)).unwrap();
    assert_eq!(replies(), (own, 2001));
    // Another client's cannot have the same source.
    let other = connection(([198, 51, 100, 8], 40_000), SERVICE, Established, &nat);
    let other = other.with_source(own, 2001.into());
    assert_eq!(fixture.apply(&other), Err(Discard::SourceTaken));
    // Without a translation it is the client's own.
    fixture.apply(&replica(Established, &nat)).unwrap();
    assert_eq!(replies(), (CLIENT.0, CLIENT.1));
    // By direct routing nothing is translated.
    let fixture = Fixture::new(64);
    fixture
        .apply(&replica(Established, &server(3)).with_source(own, 2000.into()))
        .unwrap();
    let (_, entry) = fixture.connection();
    assert!(!entry.record.is_translated());
}

#[test]
fn connections_of_ftp_go_to_the_ports_that_they_have() {
    for (port, real) in [(21, 2121), (20, 2120), (30_000, 30_000)] {
        let fixture = Fixture::new(64);
        let mut nat = server(3);
        nat.record.method = Method::Nat as u8;
        nat.service.port = 21.into();
        nat.server.port = 2121.into();
        let to = (SERVICE.0, port);
        let (client, client_port) = CLIENT;
        let data = connection(CLIENT, to, Established, &nat);
        // A peer says which source the server sees, IPVS does not.
        for replica in [data, data.with_source(client, client_port.into())] {
            let peers = port != 21;
            fixture.apply(if peers { &replica } else { &data }).unwrap();
            let live = fixture.live();
            assert_eq!(live.len(), 2);
            let of = |kind: Kind| live.iter().find(|(.., entry)| entry.key.kind == kind as u8);
            let reply = of(Kind::Reply).expect("one for replies").2.key;
            assert_eq!(reply.ports.source.get(), real);
            assert_eq!((reply.destination, reply.ports.destination.get()), CLIENT);
            let record = of(Kind::Request).expect("a connection").2.record;
            assert_eq!(record.is_translated(), port != 21);
            assert_eq!(record.method & Record::OWN_TIMEOUT != 0, port == 21);
        }
    }
}

#[test]
fn a_connection_that_went_to_another_server_moves_unless_it_is_over() {
    let fixture = Fixture::new(64);
    let mut nat = server(3);
    nat.record.method = Method::Nat as u8;
    fixture.apply(&replica(Established, &nat)).unwrap();
    assert_eq!(
        fixture.apply(&replica(FinWait, &server(4))),
        Err(Discard::Inactive)
    );
    assert_eq!(fixture.server(), 3);
    fixture.apply(&replica(Established, &server(4))).unwrap();
    assert_eq!(fixture.server(), 4);
    assert_eq!(fixture.live().len(), 1, "the replies' entry went with it");
    assert_eq!((fixture.load(3), fixture.load(4)), ((0, 0, 0), (1, 0, 0)));
}

#[test]
fn an_expired_entry_is_as_good_as_none() {
    let fixture = Fixture::new(64);
    fixture.apply(&replica(Established, &server(3))).unwrap();
    let later = NOW.wrapping_add(ticks(901));
    fixture
        .apply_at(&replica(FinWait, &server(4)), later)
        .unwrap();
    let (tag, entry) = fixture.connection();
    assert_eq!(
        (tag.state(), fixture.loads.server_of(&entry.record)),
        (FinWait as u8, 4)
    );
    assert_eq!((fixture.load(3), fixture.load(4)), ((0, 0, 0), (0, 1, 0)));
}

#[test]
fn a_template_is_counted_as_one_and_found_by_the_services_port() {
    let fixture = Fixture::new(64);
    let network = [198, 51, 100, 0];
    let mut recognized = server(3);
    recognized.service.port = 0.into();
    for (state, assured) in [(0, false), (1, true), (1, true)] {
        let key = template::template::<V4>(network, &recognized.service, 128);
        let template = BoundReplica::new(key, state, ticks(360), &recognized);
        fixture.apply(&template).unwrap();
        let (tag, entry) = fixture.connection();
        assert_eq!(
            tag.is_half_open(),
            !assured,
            "who is not assured may be recycled"
        );
        assert_eq!(entry.key.kind, Kind::Template as u8);
        assert_eq!(entry.key.ports, Ports::default());
        assert_eq!(fixture.load(3), (0, 0, 1));
    }
}

#[test]
fn a_full_table_refuses_more_and_stays_whole() {
    let fixture = Fixture::new(2 * WAYS);
    let results: Vec<_> = (0..64)
        .map(|port| {
            let client = (CLIENT.0, 1000 + port);
            fixture.apply(&connection(client, SERVICE, Established, &server(3)))
        })
        .collect();
    let applied = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(applied, 2 * WAYS as usize);
    assert!(results.contains(&Err(Discard::NoRoom)));
    assert_eq!(fixture.load(3), (2 * WAYS, 0, 0));
}

#[test]
fn two_directors_that_send_the_same_connections_insert_each_once() {
    let fixture = Fixture::new(8 * WAYS);
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for state in [Established, FinWait] {
            let (fixture, barrier) = (&fixture, &barrier);
            scope.spawn(move || {
                for round in 0..5_000 {
                    let client = (CLIENT.0, 1000 + round % 5);
                    let number = 3 + u32::from(round) / 5 % 2;
                    let replica = connection(client, SERVICE, state, &server(number));
                    barrier.wait();
                    match fixture.apply(&replica) {
                        // A rival's entry may come and go under each attempt.
                        Ok(()) | Err(Discard::Inactive | Discard::NoRoom) => {}
                        Err(why) => panic!("{why:?}"),
                    }
                }
            });
        }
    });
    let live = fixture.live();
    let mut ports: Vec<_> = live
        .iter()
        .map(|(_, _, entry)| entry.key.ports.source.get())
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [1000, 1001, 1002, 1003, 1004]);
    let counted = [3, 4].map(|number| fixture.load(number));
    let sum = counted
        .iter()
        .map(|(active, inactive, _)| active + inactive)
        .sum::<u32>();
    assert_eq!(sum, 5);
    let active = live
        .iter()
        .filter(|(_, tag, _)| tag.state() == Established as u8)
        .count();
    assert_eq!(counted[0].0 + counted[1].0, u32::try_from(active).unwrap());
}
