//! Messages of IPVS's sync protocol: reordered, duplicated and mixed with garbage.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family;
use lvs_tests::lab::addresses::own_sync;

use super::hostile_network::Noise;
use super::world::{SHORT, World, connections, has_logged, lines, status, until};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
/// The master's port; it also uses the next one.
const PORT: u16 = 8848;
/// The backup's port, and the next one; only the relay sends to them.
const BEYOND: u16 = 8850;
/// Whom both belong to.
const SYNC_ID: &str = "7";

/// Passes the master's messages on in another order and twice, and says more than they do: pieces of them,
/// the same for others, and noise.
struct Relay {
    from: [UdpSocket; 2],
    to: UdpSocket,
    port: u16,
    kept: Vec<Vec<u8>>,
    noise: Noise,
}

impl Relay {
    /// On the backup's side of the network; to be made in its namespace.
    fn new(own: Ipv4Addr) -> Self {
        let from = [PORT, PORT + 1].map(|port| {
            let from = UdpSocket::bind(SocketAddrV4::new(GROUP, port)).unwrap();
            from.join_multicast_v4(&GROUP, &own).unwrap();
            from.set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            from
        });
        let to = UdpSocket::bind(SocketAddrV4::new(own, 0)).unwrap();
        to.set_multicast_loop_v4(true).unwrap();
        Self {
            from,
            to,
            port: BEYOND,
            kept: Vec::new(),
            noise: Noise(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn step(&mut self) {
        let mut buffer = [0; 2_048];
        let mut came = false;
        for number in 0..self.from.len() {
            let Ok(length) = self.from[number].recv(&mut buffer) else {
                continue;
            };
            came = true;
            let message = buffer[..length].to_vec();
            self.say_more(&message);
            self.kept.push(message);
        }
        if came {
            return;
        }
        // Nothing more for a moment: now the last ones first, and each twice.
        while let Some(message) = self.kept.pop() {
            self.send(&message);
            self.send(&message);
            self.port ^= 1;
        }
    }

    fn say_more(&mut self, message: &[u8]) {
        let cut = self.noise.below(message.len());
        self.send(&message[..cut]);
        let mut other = message.to_vec();
        other[1] ^= 0xff;
        self.send(&other);
        let length = 1 + self.noise.below(200);
        let noise = self.noise.bytes(length);
        self.send(&noise);
        // A message of nothing but noise that looks like one of theirs.
        let mut like = message[..8].to_vec();
        like.extend(self.noise.bytes(message.len() - 8));
        self.send(&like);
    }

    fn send(&self, message: &[u8]) {
        // Nobody may listen yet.
        let _ = self
            .to
            .send_to(message, SocketAddrV4::new(GROUP, self.port));
    }
}

#[test]
fn sync_messages_may_be_reordered_duplicated_and_mixed_with_garbage() {
    let Some(world) = World::new() else {
        return;
    };
    let options = ["--sync-ports=2", "--sync-refresh=1s", "--sync-retries=2"];
    world.pair.start(&lines(), &options).unwrap();
    let std::net::IpAddr::V4(own) = own_sync(Family::Ipv4, 2) else {
        unreachable!("an IPv4 address");
    };
    let mut relay = world.two().namespace().enter(|| Relay::new(own)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let until_over = Arc::clone(&over);
    let relaying = thread::spawn(move || {
        while !until_over.load(Ordering::Relaxed) {
            relay.step();
        }
    });
    let daemon = format!("--mcast-interface sync --syncid {SYNC_ID}");
    let backup = format!("--start-daemon backup {daemon} --mcast-port {BEYOND}");
    world.two().lvsadm(&backup).unwrap();
    world
        .one()
        .lvsadm(&format!("--start-daemon master {daemon}"))
        .unwrap();

    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut opened = world.connect(&SHORT, 10);
        for stream in &mut opened {
            // IPVS sends a connection at its third packet.
            stream.write_all(b"GET").unwrap();
        }
        streams.extend(opened);
    }
    let took = world.agree(streams.len());
    println!("the tables agree after {} ms", took.as_millis());
    until("the messages are repeated", || {
        status(world.one()).sync.sent.entries >= 3 * streams.len() as u64
    });
    over.store(true, Ordering::Relaxed);
    relaying.join().unwrap();

    let discarded = status(world.two()).sync.received.discarded;
    let discarded: BTreeMap<_, _> = discarded
        .into_iter()
        .map(|why| (why.name, why.count))
        .collect();
    for why in ["message-length", "syncid"] {
        assert!(
            discarded.get(why).is_some_and(|&count| count > 0),
            "{why}: {discarded:?}"
        );
    }
    assert_eq!(
        connections(world.two()),
        connections(world.one()),
        "something was injected"
    );
    assert!(!has_logged(world.two(), "panicked"));
}
