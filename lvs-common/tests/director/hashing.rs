//! How keys spread over the table: regular ones as well as random ones, whatever the secrets.

use lvs_common::abi::WAYS;
use lvs_common::connection::table::{self, New, Place, Refused, Store, Survey};
use lvs_common::connection::{Client, Key, Kind, Record, Tag};
use lvs_common::family::{V4, V6};
use proptest::prelude::*;

use super::frames::at;
use super::memory::{Director, ports, secrets};
use lvs_common::abi::{Method, Pick};
use lvs_common::connection::Protocol;

pub(crate) fn key4(source: u32, port: u16) -> Key<V4> {
    Key {
        source: source.to_be_bytes(),
        destination: [192, 0, 2, 1],
        ports: ports(port, 80),
        protocol: 6,
        kind: Kind::Request as u8,
    }
}

fn key6(source: u32, port: u16) -> Key<V6> {
    let mut address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    address[12..].copy_from_slice(&source.to_be_bytes());
    let Key {
        ports,
        protocol,
        kind,
        ..
    } = key4(source, port);
    let mut destination = address;
    destination[12..].copy_from_slice(&[0, 0, 0, 1]);
    Key {
        source: address,
        destination,
        ports,
        protocol,
        kind,
    }
}

/// Key number `index` of a regular set: consecutive addresses, a block of ports per address, or one
/// address with all its ports and then the next.
fn regular(shape: usize, index: u32) -> (u32, u16) {
    let low = |bits: u32| u16::try_from(index & ((1 << bits) - 1)).expect("few bits");
    let first = 0x0a00_0000;
    match shape {
        0 => (first + index, 40_000),
        1 => (first + (index >> 4), 1024 + low(4)),
        2 => (first + (index << 8), 40_000),
        3 => (first, low(14)),
        _ => (first + (index >> 6), 32_768 + low(6) * 2),
    }
}

const SETS: u32 = 2048;
/// Half of all ways.
const KEYS: u32 = SETS * WAYS / 2;
const SEEDS: u64 = 48;

/// Share of keys that find their set full, by set numbers.
fn overflow(sets: impl Iterator<Item = u32>) -> f64 {
    let mut load = vec![0_u32; SETS as usize];
    sets.for_each(|set| load[set as usize] += 1);
    let over: u32 = load.iter().map(|count| count.saturating_sub(WAYS)).sum();
    f64::from(over) / f64::from(KEYS)
}

/// Poisson with mean 4: 0.84 % of the keys come to a set that has its eight already.
fn spreads(hash: impl Fn(usize, u32, &[u64; 16]) -> u64) {
    for shape in 0..5 {
        let (mut first, mut second, mut worst) = (0.0, 0.0, 0.0_f64);
        for seed in 0..SEEDS {
            let secrets = secrets(seed);
            let place = |index| Place::of(hash(shape, index, &secrets), SETS);
            let share = overflow((0..KEYS).map(|index| place(index).first));
            first += share;
            second += overflow((0..KEYS).map(|index| place(index).second));
            worst = worst.max(share);
        }
        let seeds = f64::from(u32::try_from(SEEDS).expect("few"));
        for mean in [first / seeds, second / seeds] {
            assert!((0.0074..0.0094).contains(&mean), "shape {shape}: {mean}");
        }
        assert!(worst < 0.02, "shape {shape}: {worst}");
    }
}

#[test]
fn regular_ipv4_keys_spread_like_random_ones() {
    spreads(|shape, index, secrets| {
        let (source, port) = regular(shape, index);
        key4(source, port).hash(secrets)
    });
}

#[test]
fn regular_ipv6_keys_spread_like_random_ones() {
    spreads(|shape, index, secrets| {
        let (source, port) = regular(shape, index);
        key6(source, port).hash(secrets)
    });
}

/// An entry to be, of server 0.
pub(crate) fn new(key: Key<V4>, half_open: bool) -> New<V4> {
    New {
        key,
        record: Record::new(0, 0, Method::Direct, false),
        client: Client::default(),
        // What no flood made stays.
        partner: if half_open { table::alone(0) } else { 0 },
        state: if half_open { 3 } else { 1 },
        half_open,
        pinned: false,
        now: 0,
        timeout: 1000,
        survey: Survey::default(),
    }
}

pub(crate) fn table(sets: u32) -> Director {
    let mut director = Director::with_sets(sets);
    let service = director.serve(Protocol::Tcp, at("192.0.2.1:80"), Pick::Rotate);
    director.add(service, at("10.0.0.1:80"), Method::Direct, 1);
    director
}

pub(crate) fn place(director: &Director, key: &Key<V4>) -> Place {
    Place::of(key.hash(director), Store::<V4>::sets(director))
}

/// How many keys of a shape a table of so many sets refuses, at a load at which it takes so many bytes
/// for each of them.
fn refused(sets: u32, shape: usize, bytes: u32) -> (u32, u32) {
    let director = table(sets);
    let keys = sets * WAYS * 64 / bytes;
    let mut refused = 0;
    for index in 0..keys {
        let (source, port) = regular(shape, index);
        let key = key4(source, port);
        match table::insert(&director, place(&director, &key), &mut new(key, false)) {
            Ok(_) => {}
            Err(Refused::Full) => refused += 1,
            Err(Refused::Exists) => panic!("no key comes twice"),
        }
    }
    assert_eq!(director.connections(0), (keys - refused, 0));
    (refused, keys)
}

/// A random function refuses 0.74 of ten thousand keys up to this load (44.4 percent of all entries in
/// use), and one up to 45.6 percent.
#[test]
fn a_table_of_144_bytes_for_each_key_has_refused_less_than_one_in_ten_thousand() {
    let (mut all, mut keys) = (0, 0);
    for shape in [0, 1, 2, 4] {
        let (refused, of) = refused(16_384, shape, 144);
        println!("shape {shape}: {refused} of {of}");
        all += refused;
        keys += of;
    }
    assert!(all * 10_000 <= keys, "{all} of {keys}");
}

proptest! {
    #[test]
    fn a_place_is_in_the_table(hash: u64, sets in 1_u32..) {
        let place = Place::of(hash, sets);
        prop_assert!(place.first < sets && place.second < sets && place.home < WAYS);
        prop_assert_eq!(place.fingerprint & !Tag::FINGERPRINT, 0);
    }

    #[test]
    fn a_tag_goes_through_its_life(before: u32, fingerprint: u32, states: [(u8, bool); 4]) {
        let claimed = Tag(before).claimed(fingerprint);
        prop_assert!(claimed.is_busy() && !claimed.is_live() && !claimed.is_free());
        prop_assert!(claimed.has_fingerprint(fingerprint));
        prop_assert!(!claimed.same_connection(Tag(before)));
        let mut tag = claimed;
        for (state, half_open) in states {
            let state = state % 14;
            tag = tag.live(state, half_open);
            prop_assert!(tag.is_live() && tag.same_connection(claimed));
            prop_assert_eq!((tag.state(), tag.is_half_open()), (state, half_open));
        }
        let leaving = tag.leaving();
        prop_assert!(leaving.is_busy() && leaving.freed().is_free());
        // The next connection with the same key in the same way is another one.
        prop_assert!(!leaving.freed().claimed(fingerprint).same_connection(tag));
    }
}
