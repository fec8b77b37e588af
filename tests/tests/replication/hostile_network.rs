//! Connection replication over a network with an attacker.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lvs_api::model::Family;
use lvs_tests::lab::addresses::own_sync;

use super::world::{SHORT, World, connections, has_logged, lines, links, until};

const PORT: u16 = 8849;

/// Numbers that look random.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let small = u32::try_from(self.next() >> 32).unwrap_or(0);
        small as usize % limit
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// A relay between two directors; it tampers with the traffic while it is hostile.
#[derive(Default)]
struct Relay {
    hostile: AtomicBool,
    faults: AtomicU64,
}

impl Relay {
    /// Passes connections on to an address, for ever.
    fn run(self: &Arc<Self>, listener: &TcpListener, to: SocketAddr) {
        for (number, stream) in (1..).zip(listener.incoming().flatten()) {
            let Ok(other) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else {
                continue;
            };
            let (back, from) = (stream.try_clone().unwrap(), other.try_clone().unwrap());
            let relay = Arc::clone(self);
            thread::spawn(move || relay.pass(stream, other, number));
            let relay = Arc::clone(self);
            thread::spawn(move || relay.pass(from, back, number + 1_000));
        }
    }

    /// Passes one direction on: with a byte changed, a piece left out, sent twice, swapped with the next
    /// one, or cut off for good.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, seed: u64) {
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut buffer = [0; 4_096];
        let mut kept: Vec<u8> = Vec::new();
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut piece = buffer[..length].to_vec();
            let hostile = self.hostile.load(Ordering::Relaxed) && noise.below(8) == 0;
            if hostile {
                self.faults.fetch_add(1, Ordering::Relaxed);
                match noise.below(5) {
                    0 => {
                        let place = noise.below(length);
                        piece[place] ^= 1 << noise.below(8);
                    }
                    1 => piece.clear(),
                    2 => piece.extend_from_within(..),
                    3 if kept.is_empty() => kept = std::mem::take(&mut piece),
                    _ => piece.truncate(length / 2),
                }
            }
            if !piece.is_empty() && !kept.is_empty() {
                piece.append(&mut kept);
            }
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other direction ends with this one.
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn messages_tampered_with_are_refused_and_the_tables_agree_afterwards() {
    let Some(world) = World::new() else {
        return;
    };
    let relay = Arc::new(Relay::default());
    relay.hostile.store(true, Ordering::Relaxed);
    let (listener, to) = (
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        SocketAddr::new(own_sync(Family::Ipv4, 2), PORT),
    );
    let namespace = world.one().namespace().clone();
    let listener = namespace
        .enter(|| TcpListener::bind(listener).unwrap())
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let running = Arc::clone(&relay);
    // It ends with this process; connections are made in the namespace.
    thread::spawn(move || namespace.enter(|| running.run(&listener, to)));

    world.start_one_to(&address, &lines());
    world.start_two(&lines());
    let mut streams = Vec::new();
    until("the relay does its worst", || {
        streams.extend(world.connect(&SHORT, 1));
        relay.faults.load(Ordering::Relaxed) > 8
    });
    let known = connections(world.one());
    assert!(
        connections(world.two()).is_subset(&known),
        "something was injected"
    );
    relay.hostile.store(false, Ordering::Relaxed);
    let took = world.agree(streams.len());
    println!(
        "the tables agree {} ms after the relay is honest",
        took.as_millis()
    );
    let refused = links(world.two()).refused;
    assert!(
        refused.iter().any(|refusal| refusal.name == "forged"),
        "{refused:?}"
    );
    assert!(!has_logged(world.one(), "panicked") && !has_logged(world.two(), "panicked"));
}

#[test]
fn strangers_that_send_garbage_or_nothing_do_not_block_peers() {
    let Some(world) = World::new() else {
        return;
    };
    world.start_one(&lines());
    let to = SocketAddr::new(own_sync(Family::Ipv4, 2), PORT);
    world.start_two(&lines());
    let mut silent = Vec::new();
    let bother = || {
        for number in 1..=60_u64 {
            let mut noise = Noise(number);
            let mut stream = TcpStream::connect(to).unwrap();
            let length = noise.below(400);
            // It may have been refused in the middle.
            let _ = stream.write_all(&noise.bytes(length));
            silent.push(stream);
        }
    };
    world.one().namespace().enter(bother).unwrap();
    let streams = world.connect(&SHORT, 5);
    world.agree(streams.len());
    let refused = links(world.two()).refused;
    let count = |name: &str| {
        let found = refused.iter().filter(|refusal| refusal.name == name);
        found.map(|refusal| refusal.count).sum::<u64>()
    };
    assert!(count("key") + count("length") > 0, "{refused:?}");
    assert!(!has_logged(world.two(), "panicked"));
}
