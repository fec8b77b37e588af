//! Two directors in plain memory, whose packets, sessions and clocks a test makes.

mod restart;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use lvs_common::abi::{Call, CallNumber, Config, Method, Plan, Server, ServiceKey, ticks};
use lvs_common::connection::table::{self, New, Place, Store, Survey, Ways};
use lvs_common::connection::{
    Client, EntryId, Key, Kind, Ports, Record, Servers as _, resume, tcp, template,
};
use lvs_common::family::{Family, PerFamily, V4, V6};
use lvs_dataplane::director::Recognized;
use lvs_dataplane::kernel::{EntryMapping, Mapping, SENDING_PEERS, ServerLoads};
use lvs_dataplane::table::Table;
use parking_lot::Mutex;
use proptest::prelude::*;
use zerocopy::FromZeros as _;

use super::hello::Versions;
use super::inherited::Inherited;
use super::message::Instance;
use super::receiver::{Outcome, Receiver, Recognize};
use super::record::{FrameRecord, FrameRecords};
use super::replica_index::ReplicaIndex;
use super::sender::Sender;
use super::tables::Tables;
use crate::calls::CallIds;
use crate::discard::{Discard, DiscardCounters};
use crate::entries::Entries;

const VIRTUAL: [u8; 4] = [192, 0, 2, 10];
const SERVERS: u8 = 3;
/// Enough for all connections of a test to find room.
const SIZES: PerFamily<u32> = PerFamily { v4: 256, v6: 8 };

/// The maps of a director with one service.
struct Director {
    config: Mapping<Config>,
    active_plans: Mapping<u32>,
    plans: Mapping<Plan>,
    servers: Mapping<Server>,
    loads: ServerLoads,
    connections4: EntryMapping<V4>,
    connections6: EntryMapping<V6>,
    /// It calls its servers by other numbers than the other one: the first is this, and each of the others so much
    /// further. Those of the second director are alike in their lower halves.
    numbers: (u32, u32),
    instance: Instance,
    before: Option<(ReplicaIndex, u32)>,
    discarded: DiscardCounters,
    calls: CallMap,
    senders: Mapping<u64>,
    inherited: Mutex<Inherited>,
}

type CallMap = Mutex<HashMap<CallNumber, Call>>;

impl CallIds for CallMap {
    fn call(&self, number: CallNumber) -> Option<Call> {
        self.lock().get(&number).copied()
    }

    fn remember(&self, number: CallNumber, call: &Call) {
        self.lock().insert(number, *call);
    }
}

fn service() -> ServiceKey {
    ServiceKey {
        address: V4::widen(VIRTUAL),
        port: 80.into(),
        protocol: 6,
        family: 4,
    }
}

impl Director {
    fn new(number: u8) -> Self {
        let numbers = if number == 0 {
            (0, 1)
        } else {
            (70_000, 65_536)
        };
        let room = numbers.0 + u32::from(SERVERS) * numbers.1;
        let mut config = Config::new_zeroed();
        config.secrets = [0x9e37_79b9_7f4a_7c15 ^ u64::from(number); 16];
        config.sync.threshold = 3;
        let director = Self {
            config: Mapping::zeroed(1),
            active_plans: Mapping::zeroed(4),
            plans: Mapping::zeroed(4),
            servers: Mapping::zeroed(room),
            loads: ServerLoads::zeroed(room),
            connections4: EntryMapping::zeroed(SIZES.v4),
            connections6: EntryMapping::zeroed(SIZES.v6),
            numbers,
            instance: Instance(u64::from(number) + 1),
            before: None,
            discarded: DiscardCounters::default(),
            calls: CallMap::default(),
            senders: Mapping::zeroed(SENDING_PEERS),
            inherited: Mutex::default(),
        };
        director.config.write(0, config);
        director.active_plans.write(1, 2);
        let mut plan = Plan::new_zeroed();
        plan.key = service();
        director.plans.write(2, plan);
        for server in 0..SERVERS {
            let index = director.number(server);
            director.servers.write(index, Self::server(server));
            director.loads.assign(index, 1);
        }
        director
    }

    /// Its number of a server.
    fn number(&self, server: u8) -> u32 {
        let (first, distance) = self.numbers;
        first + u32::from(server) * distance
    }

    /// The server of a connection.
    fn server_of(&self, record: Record) -> u8 {
        let number = self.loads.server_of(&record);
        (0..SERVERS)
            .find(|&server| self.number(server) == number)
            .unwrap()
    }

    fn server(number: u8) -> Server {
        Server {
            address: V4::widen([10, 0, 0, number]),
            port: 8080.into(),
            family: 4,
            flags: 0,
            service: 1,
            hop: 0,
            source_pool: 0,
            tunnel_port: 0.into(),
        }
    }

    fn tables(&self) -> Tables<'_> {
        Tables {
            config: &self.config,
            active_plans: &self.active_plans,
            plans: &self.plans,
            servers: &self.servers,
            loads: &self.loads,
            entries: Entries {
                v4: &self.connections4,
                v6: &self.connections6,
            },
            calls: &self.calls,
        }
    }

    fn table(&self) -> Table<'_, V4> {
        Table::new(&self.connections4, &self.loads)
    }

    fn key(client: u8) -> Key<V4> {
        Key {
            source: [198, 51, 100, client],
            destination: VIRTUAL,
            ports: Ports {
                source: 40_000.into(),
                destination: 80.into(),
            },
            protocol: 6,
            kind: Kind::Request as u8,
        }
    }

    fn record(&self, client: u8) -> Record {
        let server = self.number(client % SERVERS);
        self.loads.new_record(server, 1, Method::Direct)
    }

    fn place(&self, client: u8) -> Place {
        let secrets = self.config.read(0).unwrap().secrets;
        Place::of(Self::key(client).hash(&secrets), self.table().sets())
    }

    /// A packet of a client, after which its connection is in this state.
    fn packet(&self, client: u8, state: tcp::State, now: u32) {
        let (table, place) = (self.table(), self.place(client));
        let timeout = ticks(900);
        if let Some(slot) = table::find(table, &Self::key(client), place) {
            slot.set.touch(slot.way, now, timeout);
            assert!(resume(table, &slot, state as u8, false));
            return;
        }
        let mut new = New {
            key: Self::key(client),
            record: self.record(client),
            client: Client::default(),
            partner: 0,
            state: state as u8,
            half_open: false,
            pinned: false,
            now,
            timeout,
            survey: Survey::default(),
        };
        table::insert(table, place, &mut new).unwrap();
    }

    /// The number of a client's call.
    fn call_number(&self, call_id: &[u8]) -> CallNumber {
        let secrets = self.config.read(0).unwrap().secrets;
        CallNumber::of(&client_call(call_id), &secrets)
    }

    fn call_key(&self, call_id: &[u8]) -> Key<V4> {
        template::call_template(self.call_number(call_id), &service())
    }

    /// Two messages of a call.
    fn call(&self, call_id: &[u8], now: u32) {
        let secrets = self.config.read(0).unwrap().secrets;
        let key = self.call_key(call_id);
        self.calls
            .remember(self.call_number(call_id), &client_call(call_id));
        let place = Place::of(key.hash(&secrets), self.table().sets());
        let mut new = New {
            key,
            record: self.record(1),
            client: Client::default(),
            partner: 0,
            state: template::ASSURED,
            half_open: false,
            pinned: false,
            now,
            timeout: ticks(60),
            survey: Survey::default(),
        };
        table::insert(self.table(), place, &mut new).unwrap();
    }

    /// The server of a call's template.
    fn server_of_call(&self, call_id: &[u8]) -> Option<u8> {
        let secrets = self.config.read(0).unwrap().secrets;
        let key = self.call_key(call_id);
        let place = Place::of(key.hash(&secrets), self.table().sets());
        let slot = table::find(self.table(), &key, place)?;
        Some(self.server_of(slot.set.record(slot.way)))
    }

    /// A packet of a client ends its connection, if one of its arrived here before.
    fn close(&self, client: u8) {
        let (table, place) = (self.table(), self.place(client));
        if let Some(slot) = table::find(table, &Self::key(client), place)
            && slot.set.packets(slot.way) > 0
        {
            assert!(table::remove(table, &slot));
        }
    }

    /// The session in which it received ended.
    fn session_ended(&mut self, mut session: Session, now: u32) {
        self.before = Some((session.receiver.close(self.tables()), now));
        self.inherited
            .lock()
            .session_ended(&self.senders, session.from);
    }

    /// Clients with the state of their connections, and whether packets of theirs arrived here.
    fn connections(&self) -> BTreeMap<u8, (u8, u8, bool)> {
        let live = (1..=SIZES.v4).filter_map(|number| {
            let id = EntryId::new::<V4>(number);
            let tag = self.tables().entries.tag(id).filter(|tag| tag.is_live())?;
            let entry = self.connections4.read(id.index())?;
            let server = self.server_of(entry.record);
            let [.., client] = entry.key.source;
            Some((client, (tag.state(), server, entry.packets > 0)))
        });
        live.collect()
    }
}

impl Recognize for Director {
    fn recognize(&self, name: &ServiceKey, server: SocketAddr) -> Result<Recognized, Discard> {
        if *name != service() {
            return Err(Discard::NoService);
        }
        let inherited = (0..SERVERS).find(|&number| {
            let [a, b, c, d, ..] = Self::server(number).address;
            server == SocketAddr::from(([a, b, c, d], 8080))
        });
        let number = inherited.ok_or(Discard::NoServer)?;
        Ok(Recognized {
            by_call_id: true,
            record: self.record(number),
            service: service(),
            server: Self::server(number),
        })
    }
}

/// A session between two directors, as long as it lasts.
struct Session {
    from: Instance,
    sender: Sender,
    receiver: Receiver,
    events: Vec<EntryId>,
    frames: VecDeque<Vec<u8>>,
}

impl Session {
    fn new(from: &Director, to: &mut Director) -> Self {
        to.inherited
            .lock()
            .session_begins(&to.senders, from.instance);
        Self {
            from: from.instance,
            sender: Sender::new(SIZES, Versions::OWN.newest),
            receiver: Receiver::new(to.instance, from.instance, SIZES, to.before.take()),
            events: Vec::new(),
            frames: VecDeque::new(),
        }
    }

    fn send(&mut self, from: &Director, now: u32) {
        let mut frame = Vec::new();
        self.sender
            .fill(from.tables(), &mut frame, &mut self.events, now);
        self.frames.push_back(frame);
    }

    /// Applies a frame; entries that the sender has to send again are noted.
    fn receive(&mut self, to: &Director, now: u32) -> Outcome {
        let Some(frame) = self.frames.pop_front() else {
            return Outcome::default();
        };
        let receiver = &mut self.receiver;
        let outcome = receiver
            .apply_frame(&frame, to.tables(), to, &to.discarded, now)
            .unwrap();
        to.inherited.lock().note(to.tables(), self.from, &outcome);
        for &id in &outcome.missing {
            self.sender.resend(id);
            self.events.push(id);
        }
        outcome
    }

    fn resend(&mut self, entries: &[EntryId]) {
        for &id in entries {
            self.sender.resend(id);
            self.events.push(id);
        }
    }
}

/// Two directors.
struct World {
    directors: [Director; 2],
    sessions: Option<[Session; 2]>,
    now: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Packet(usize, u8, tcp::State),
    Close(usize, u8),
    Wait(u32),
    Scan(usize),
    Event(usize, u32),
    Receive(usize),
    Part,
    Meet,
    Restart(usize),
}

impl World {
    fn new() -> Self {
        Self {
            directors: [Director::new(0), Director::new(1)],
            sessions: None,
            now: u32::MAX - ticks(100),
        }
    }

    fn meet(&mut self) {
        if self.sessions.is_none() {
            let [one, two] = &mut self.directors;
            let there = Session::new(one, two);
            self.sessions = Some([there, Session::new(two, one)]);
        }
    }

    fn part(&mut self) {
        let Some(sessions) = self.sessions.take() else {
            return;
        };
        for (to, session) in self.directors.iter_mut().rev().zip(sessions) {
            to.session_ended(session, self.now);
        }
    }

    fn send(&mut self, from: usize, scan: bool) {
        if let Some(sessions) = &mut self.sessions {
            if scan {
                sessions[from].sender.begin_scan();
            }
            sessions[from].send(&self.directors[from], self.now);
        }
    }

    /// The other director applies a frame that `from` sent.
    fn receive(&mut self, from: usize) {
        if let Some(sessions) = &mut self.sessions {
            let outcome = sessions[from].receive(&self.directors[1 - from], self.now);
            sessions[1 - from].resend(&outcome.resend);
        }
    }

    fn receive_all(&mut self, from: usize) {
        while let Some(sessions) = &self.sessions
            && !sessions[from].frames.is_empty()
        {
            self.receive(from);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Packet(director, client, state) => {
                self.directors[director].packet(client, state, self.now);
            }
            Step::Close(director, client) => self.directors[director].close(client),
            Step::Wait(time) => {
                // A frame under way for longer than a moment ends the session.
                for from in [0, 1] {
                    self.receive_all(from);
                }
                self.now = self.now.wrapping_add(time);
            }
            Step::Scan(from) => self.send(from, true),
            Step::Event(from, number) => {
                if let Some(sessions) = &mut self.sessions {
                    sessions[from].events.extend(EntryId::from_bits(number));
                }
                self.send(from, false);
            }
            Step::Receive(from) => self.receive(from),
            Step::Part => self.part(),
            Step::Meet => self.meet(),
            Step::Restart(director) => self.restart(director),
        }
    }

    /// Nothing happens any more but what the sessions do by themselves.
    fn converge(&mut self) {
        self.meet();
        for _ in 0..6 {
            self.now = self.now.wrapping_add(ticks(1));
            for from in [0, 1] {
                self.send(from, true);
                while self
                    .sessions
                    .as_ref()
                    .is_some_and(|all| !all[from].frames.is_empty())
                {
                    self.receive(from);
                }
            }
        }
    }
}

/// States and real servers.
fn known(all: &BTreeMap<u8, (u8, u8, bool)>) -> BTreeMap<u8, (u8, u8)> {
    let known = all
        .iter()
        .map(|(client, (state, server, _))| (*client, (*state, *server)));
    known.collect()
}

fn step() -> impl Strategy<Value = Step> {
    use tcp::State::{Established, FinWait};
    let director = 0..2_usize;
    let state = prop_oneof![4 => Just(Established), 1 => Just(FinWait)];
    prop_oneof![
        6 => (director.clone(), 1..12_u8, state).prop_map(|(d, c, s)| Step::Packet(d, c, s)),
        2 => (director.clone(), 1..12_u8).prop_map(|(d, c)| Step::Close(d, c)),
        3 => (0..ticks(20)).prop_map(Step::Wait),
        2 => director.clone().prop_map(Step::Scan),
        3 => (director.clone(), 0..SIZES.v4).prop_map(|(d, n)| Step::Event(d, n)),
        6 => director.prop_map(Step::Receive),
        1 => Just(Step::Part),
        2 => Just(Step::Meet),
        1 => (0..2_usize).prop_map(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_both_know_the_same_in_the_end(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.converge();
        let [one, two] = world.directors.each_ref().map(Director::connections);
        prop_assert_eq!(known(&one), known(&two));
        for (director, number) in world.directors.iter().zip([&one, &two]) {
            let numbers = (0..SERVERS).map(|server| director.number(server));
            let loads = numbers.filter_map(|number| director.loads.read(number));
            let counted: u32 = loads.map(|load| load.active() + load.inactive()).sum();
            prop_assert_eq!(counted as usize, number.len(), "loads are accounted for");
        }
    }

    #[test]
    fn any_frame_is_applied_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        kind in 0..14_u8,
    ) {
        let director = Director::new(0);
        let mut receiver = Receiver::new(Instance(0), Instance(1), SIZES, None);
        let mut frame = vec![kind];
        frame.extend(bytes);
        let _ = receiver.apply_frame(&frame, director.tables(), &director, &director.discarded, 7);
        receiver.close(director.tables());
    }
}

#[test]
fn an_end_is_sent_before_the_entry_would_expire() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.converge();
    assert_eq!(world.directors[1].connections()[&1], (1, 1, false));
    world.directors[0].close(1);
    world.converge();
    assert!(world.directors[1].connections().is_empty());
}

#[test]
fn a_packet_of_its_client_moves_a_connection_to_this_director() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.converge();
    world.directors[1].packet(1, tcp::State::Established, world.now);
    world.converge();
    assert!(
        !world.directors[0].connections()[&1].2,
        "the first has let go"
    );
    world.directors[1].close(1);
    world.converge();
    assert!(world.directors[0].connections().is_empty());
}

#[test]
fn a_replica_that_ended_here_is_asked_for_again() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.converge();
    // Its client comes here and its connection is removed within a moment: between two looks.
    world.directors[1].packet(1, tcp::State::Established, world.now);
    world.directors[1].close(1);
    world.converge();
    let [one, two] = world.directors.each_ref().map(Director::connections);
    assert_eq!(one.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
}

#[test]
fn two_that_saw_a_client_in_the_same_moment_agree_on_one_of_them() {
    use tcp::State::{Established, FinWait};
    let mut world = World::new();
    world.directors[0].packet(10, FinWait, world.now);
    world.now = world.now.wrapping_add(1);
    world.directors[1].packet(10, Established, world.now);
    world.meet();
    world.send(1, true);
    world.send(0, true);
    world.directors[0].packet(1, Established, world.now);
    world.converge();
    let [one, two] = world.directors.each_ref().map(Director::connections);
    assert_eq!(known(&one), known(&two));
    assert_ne!(one[&10].2, two[&10].2, "it is one's and not the other's");
}

#[test]
fn an_entry_that_ends_before_it_was_sent_again_is_removed() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.now = world.now.wrapping_add(ticks(10));
    world.directors[1].packet(1, tcp::State::Established, world.now);
    world.meet();
    world.send(1, true);
    world.send(0, true);
    // The second knows better than the first, and is about to say so once more.
    world.step(&Step::Wait(0));
    world.directors[1].close(1);
    world.converge();
    assert!(world.directors[0].connections().is_empty());
}

#[test]
fn replicas_of_a_peer_outlive_it_and_are_sent_on() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.converge();
    world.part();
    // The first one boots again, with new tables.
    world.directors[0] = Director::new(0);
    world.directors[0].instance = Instance(7);
    world.directors[1].before = None;
    world.converge();
    assert_eq!(world.directors[0].connections()[&1], (1, 1, false));
    assert!(world.directors[1].connections()[&1].2);
}

const CALLER: [u8; 4] = [198, 51, 100, 7];

fn client_call(call_id: &[u8]) -> Call {
    Call::of(call_id, V4::widen(CALLER)).unwrap()
}

#[test]
fn templates_of_calls_are_sent_by_their_call_ids() {
    let mut world = World::new();
    world.directors[0].call(b"a@example.org", world.now);
    let unknown = world.directors[0].call_key(b"unknown");
    assert_ne!(unknown, world.directors[1].call_key(b"unknown"));
    world.converge();
    let [one, two] = &world.directors;
    assert_eq!(
        two.server_of_call(b"a@example.org"),
        one.server_of_call(b"a@example.org")
    );
    assert_eq!(two.server_of_call(b"a@example.org"), Some(1));
    let number = two.call_number(b"a@example.org");
    let call = two.calls.call(number).unwrap();
    assert_eq!(call.id(), Some(&b"a@example.org"[..]));
    assert_eq!(call.client, V4::widen(CALLER));
}

#[test]
fn a_peer_of_an_older_version_is_sent_no_calls() {
    let mut world = World::new();
    world.meet();
    world.sessions.as_mut().unwrap()[0].sender = Sender::new(SIZES, 4);
    world.directors[0].call(b"a@example.org", world.now);
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.send(0, true);
    let frame = world.sessions.as_mut().unwrap()[0]
        .frames
        .pop_front()
        .unwrap();
    let mut entries = 0;
    for record in FrameRecords(&frame).map(Result::unwrap) {
        assert!(!matches!(record, FrameRecord::CallId(_)));
        entries += i32::from(matches!(record, FrameRecord::Entry4(_)));
    }
    assert_eq!(entries, 1);
}

#[test]
fn a_peer_of_an_older_version_is_sent_no_numbers_of_servers_that_it_does_not_know() {
    for (version, expected) in [(5, 0), (6, 3)] {
        let mut world = World::new();
        world.meet();
        world.sessions.as_mut().unwrap()[1].sender = Sender::new(SIZES, version);
        for client in 1..=3 {
            world.directors[1].packet(client, tcp::State::Established, world.now);
        }
        world.send(1, true);
        world.receive_all(1);
        let known = world.directors[0].connections();
        assert_eq!(known.len(), expected, "version {version}");
        assert!(
            known
                .iter()
                .all(|(client, (_, server, _))| client % SERVERS == *server)
        );
    }
}

#[test]
fn a_number_of_the_other_table_is_refused() {
    let mut world = World::new();
    world.directors[0].packet(1, tcp::State::Established, world.now);
    world.meet();
    world.send(0, true);
    let frame = world.sessions.as_mut().unwrap()[0]
        .frames
        .pop_front()
        .unwrap();
    let mut forged = Vec::new();
    for record in FrameRecords(&frame) {
        match record.unwrap() {
            FrameRecord::Entry4(mut entry) => {
                let id = EntryId::new::<V6>(entry.id().unwrap().number());
                entry.id = id.bits().into();
                FrameRecord::Entry4(entry).write(&mut forged);
            }
            record => record.write(&mut forged),
        }
    }
    let to = &world.directors[1];
    let receiver = &mut world.sessions.as_mut().unwrap()[0].receiver;
    let outcome = receiver.apply_frame(&forged, to.tables(), to, &to.discarded, world.now);
    assert!(outcome.is_err());
    assert!(to.connections().is_empty());
}
