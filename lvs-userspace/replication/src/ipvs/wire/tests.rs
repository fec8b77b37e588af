use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::discard::Discard;

fn decode(message: &[u8]) -> Vec<Result<SyncEntry, Discard>> {
    Message::parse(message).unwrap().entries().collect()
}

fn encode(syncid: u8, synced: &[SyncEntry], max_length: u16) -> Vec<Vec<u8>> {
    encode_as(Version::One, syncid, synced, max_length)
}

/// Leaves out what messages of the version have no place for.
fn encode_as(version: Version, syncid: u8, synced: &[SyncEntry], max_length: u16) -> Vec<Vec<u8>> {
    let mut packer = Packer::new(version, syncid, max_length);
    let mut messages: Vec<_> = synced
        .iter()
        .filter_map(|entry| packer.push(entry).ok().flatten())
        .collect();
    messages.extend(packer.flush());
    assert!(packer.flush().is_none());
    messages
}

/// A connection with nothing but what every entry has.
pub(in crate::ipvs) fn plain() -> SyncEntry {
    SyncEntry {
        protocol: 6,
        flags: Flags::of(lvs_common::abi::Method::Direct),
        state: 1,
        client: "198.51.100.7:40000".parse().unwrap(),
        virtual_address: "192.0.2.10:80".parse().unwrap(),
        server: "10.0.0.3:8080".parse().unwrap(),
        mark: 0,
        timeout: 900,
        sequences: None,
        engine: None,
    }
}

#[rustfmt::skip]
const PLAIN: [u8; 44] = [
    0, 7, 0, 44, 1, 1, 0, 0,
    0, 6, 0, 36, 0, 0, 0, 0x83, 0, 1, 0x9c, 0x40, 0, 80, 0x1f, 0x90,
    0, 0, 0, 0, 0, 0, 0x03, 0x84,
    198, 51, 100, 7, 192, 0, 2, 10, 10, 0, 0, 3,
];

#[test]
fn a_connection_lies_on_the_wire_as_the_kernel_lays_it_out() {
    assert_eq!(encode(7, &[plain()], 1472), [PLAIN]);
    assert_eq!(Message::parse(&PLAIN).unwrap().syncid, 7);
    assert_eq!(decode(&PLAIN), [Ok(plain())]);
}

#[rustfmt::skip]
#[test]
fn version_0_is_written_as_it_is_understood() {
    let message = [
        2, 9, 0, 76,
        0, 6, 0x9c, 0x40, 0, 80, 0x1f, 0x90, 198, 51, 100, 7, 192, 0, 2, 10, 10, 0, 0, 3, 0, 0x83, 0, 1,
        0, 17, 0x9c, 0x41, 0, 53, 0, 53, 198, 51, 100, 7, 192, 0, 2, 10, 10, 0, 0, 4, 2, 0, 0, 0,
        1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0,
    ];
    assert_eq!(Message::parse(&message).unwrap().syncid, 9);
    let entries = decode(&message);
    assert_eq!(entries[0], Ok(SyncEntry { timeout: 0, ..plain() }));
    let second = entries[1].clone().unwrap();
    assert_eq!((second.protocol, second.state, second.flags), (17, 0, Flags(0x200)));
    assert_eq!(second.server, "10.0.0.4:53".parse().unwrap());
    let sequences = second.sequences.unwrap();
    let numbers = [sequences.input.initial, sequences.output.previous_delta].map(u32::from);
    assert_eq!(numbers, if cfg!(target_endian = "little") { [1, 6] } else { [1 << 24, 6 << 24] });
    let entries: Vec<_> = entries.into_iter().map(Result::unwrap).collect();
    assert_eq!(encode_as(Version::Zero, 9, &entries, 1472), [message]);
    for end in 28..75 {
        let mut cut = message[..end].to_vec();
        cut[3] = u8::try_from(end).unwrap();
        assert_eq!(decode(&cut)[1], Err(Discard::Truncated));
    }
}

#[test]
fn version_0_leaves_out_what_it_has_no_place_for() {
    let template = |mark, engine| SyncEntry {
        flags: plain().flags.and(Flags::TEMPLATE),
        mark,
        engine,
        ..plain()
    };
    let left_out = [
        SyncEntry {
            client: "[2001:db8::7]:40000".parse().unwrap(),
            virtual_address: "[2001:db8::10]:80".parse().unwrap(),
            server: "[2001:db8::3]:80".parse().unwrap(),
            ..plain()
        },
        template(5, None),
        template(0, Engine::new(b"sip", b"1@a")),
    ];
    assert!(encode_as(Version::Zero, 7, &left_out, 1472).is_empty());
    // A connection of a mark is known by its addresses, too.
    let sent = [template(0, None), SyncEntry { mark: 5, ..plain() }];
    let messages = encode_as(Version::Zero, 7, &sent, 1472);
    assert_eq!(decode(&messages[0]).len(), 2);
}

#[test]
fn messages_of_version_0_are_as_long_as_they_may_be() {
    let many = vec![plain(); 1_000];
    let messages = encode_as(Version::Zero, 7, &many, 1472);
    let counts: Vec<_> = messages
        .iter()
        .map(|message| decode(message).len())
        .collect();
    assert_eq!(counts[0], (1472 - 4) / 24);
    assert_eq!(counts.iter().sum::<usize>(), 1_000);
    assert_eq!(
        decode(&encode_as(Version::Zero, 7, &many, 65_507)[0]).len(),
        255
    );
}

#[test]
fn headers_that_lie_are_refused() {
    for length in 0..4 {
        assert_eq!(
            Message::parse(&PLAIN[..length]).err(),
            Some(Discard::ShortMessage)
        );
    }
    for length in 4..PLAIN.len() {
        assert_eq!(
            Message::parse(&PLAIN[..length]).err(),
            Some(Discard::MessageLength)
        );
    }
    let longer = [&PLAIN[..], &[0]].concat();
    assert_eq!(Message::parse(&longer).err(), Some(Discard::MessageLength));
}

/// [`PLAIN`] with a byte changed.
fn with(at: usize, byte: u8) -> Vec<Result<SyncEntry, Discard>> {
    let mut message = PLAIN;
    message[at] = byte;
    decode(&message)
}

#[test]
fn entries_that_lie_are_refused_by_reason() {
    assert_eq!(with(4, 2), [Ok(plain()), Err(Discard::Truncated)]);
    assert_eq!(with(10, 0x10), [Err(Discard::EntryVersion)]);
    assert_eq!(with(11, 40), [Err(Discard::Truncated)]);
    assert_eq!(with(11, 32), [Err(Discard::EntryLength)]);
    assert_eq!(with(11, 23), [Err(Discard::EntryLength)]);
    assert_eq!(
        with(8, 1),
        [Err(Discard::EntryLength)],
        "IPv6 takes more room"
    );
    assert_eq!(with(8, 2), [Ok(plain())], "the other bits mean nothing");
}

/// [`PLAIN`] with options.
fn with_options(options: &[u8]) -> Result<SyncEntry, Discard> {
    let mut message = [&PLAIN[..], options].concat();
    message[3] += u8::try_from(options.len()).unwrap();
    message[11] += u8::try_from(options.len()).unwrap();
    let [entry] = decode(&message).try_into().unwrap();
    entry
}

#[test]
fn options_that_lie_are_refused_and_unknown_ones_only_if_they_matter() {
    assert_eq!(with_options(&[1]), Err(Discard::Option), "half of one");
    assert_eq!(with_options(&[2, 5, 1]), Err(Discard::Option), "too long");
    assert_eq!(
        with_options(&[1, 0]),
        Err(Discard::Option),
        "sequences have 24 bytes"
    );
    assert_eq!(
        with_options(&[2, 1, 7]),
        Err(Discard::Option),
        "data without a name"
    );
    assert_eq!(
        with_options(&[3, 1, 7, 3, 1, 7, 2, 1, 7]),
        Err(Discard::Option),
        "twice"
    );
    assert_eq!(with_options(&[9, 0]), Err(Discard::UnknownOption));
    assert_eq!(with_options(&[0x49, 1, 0]), Ok(plain()));
    let engine = Engine::new(b"sip", b"call-id");
    let options = [&[0x42, 7][..], b"call-id", &[3, 3], b"sip"].concat();
    assert_eq!(with_options(&options), Ok(SyncEntry { engine, ..plain() }));
}

#[test]
fn an_entry_that_is_wrong_by_itself_costs_no_other() {
    let engine = Engine::new(&[7; 1], &[7; 2]);
    let odd = SyncEntry { engine, ..plain() };
    let mut message = encode(0, &[odd, plain()], 1472).remove(0);
    message[44] = 9;
    assert_eq!(decode(&message), [Err(Discard::UnknownOption), Ok(plain())]);
}

fn address(family: u8) -> BoxedStrategy<IpAddr> {
    if family == 4 {
        any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
    } else {
        any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
    }
}

fn sequences() -> impl Strategy<Value = Sequences> {
    any::<[u8; 24]>().prop_map(|bytes| zerocopy::transmute!(bytes))
}

fn engine() -> impl Strategy<Value = Engine> {
    (vec(any::<u8>(), 1..=16), vec(any::<u8>(), 1..=255))
        .prop_map(|(name, data)| Engine::new(&name, &data).unwrap())
}

prop_compose! {
    fn synced()(family in prop_oneof![Just(4), Just(6)])(
        addresses in [address(family), address(family), address(family)],
        ports in any::<[u16; 3]>(),
        numbers in any::<(u8, u16, u16, u32, u32)>(),
        sequences in option::of(sequences()),
        engine in option::weighted(0.2, engine()),
    ) -> SyncEntry {
        let [client, virtual_address, server] = addresses;
        let (protocol, flags, state, mark, timeout) = numbers;
        SyncEntry {
            protocol,
            flags: Flags::from_wire(flags.into()),
            state,
            client: SocketAddr::new(client, ports[0]),
            virtual_address: SocketAddr::new(virtual_address, ports[1]),
            server: SocketAddr::new(server, ports[2]),
            mark,
            timeout,
            sequences,
            engine,
        }
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_read_back(
        entries in vec(synced(), 1..300), syncid: u8, max_length in 100_u16..=65_507,
    ) {
        let messages = encode(syncid, &entries, max_length);
        let mut read = Vec::new();
        for message in &messages {
            let parsed = Message::parse(message).unwrap();
            prop_assert_eq!(parsed.syncid, syncid);
            let count = parsed.entries().count();
            prop_assert!(count == 1 || message.len() <= usize::from(max_length));
            read.extend(parsed.entries().map(Result::unwrap));
        }
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn messages_are_filled(count in 1_usize..2_000, max_length in 44_u16..=1472) {
        let messages = encode(0, &vec![plain(); count], max_length);
        let fitting = ((usize::from(max_length) - 8) / 36).min(255);
        prop_assert_eq!(messages.len(), count.div_ceil(fitting));
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in vec(any::<u8>(), 0..2_000)) {
        if let Ok(message) = Message::parse(&bytes) {
            prop_assert!(message.entries().count() <= 255);
        }
    }

    #[test]
    fn any_bytes_in_a_message_of_either_version_are_read_to_an_end(
        bytes in vec(any::<u8>(), 8..2_000), version0: bool,
    ) {
        let mut bytes = bytes;
        let [high, low] = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        if version0 {
            bytes[2..4].copy_from_slice(&[high, low]);
        } else {
            let count = bytes[4];
            bytes[..8].copy_from_slice(&[0, 0, high, low, count, 1, 0, 0]);
        }
        let message = Message::parse(&bytes).unwrap();
        prop_assert!(message.entries().count() <= 255);
    }

    #[test]
    fn damaged_messages_are_read_to_an_end(
        entries in vec(synced(), 1..10),
        damage in vec((8_usize..400, any::<u8>()), 1..20),
    ) {
        for mut message in encode(1, &entries, 1472) {
            for &(at, byte) in &damage {
                if let Some(place) = message.get_mut(at) {
                    *place = byte;
                }
            }
            prop_assert!(decode(&message).len() <= 255);
        }
    }
}
