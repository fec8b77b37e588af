//! Directors of the version of the protocol before this one's: a rolling upgrade keeps the connections.
//!
//! The test speaks that version itself, from its definition, and is as strict as its directors were: a number other
//! than 3, an unknown record and an unknown message end the session.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use lvs_api::model::{Family, Method};
use lvs_api::peers::PeerState;
use lvs_common::abi::ticks;
use lvs_common::connection::tcp;
use lvs_tests::lab::addresses::{own_sync, server, virtual_address};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use snow::{Builder, HandshakeState, TransportState};

use super::world::{PATIENCE, World, connections, lines, peer, until};

const PORT: u16 = 8849;
/// Version 3; master; eight bytes of a name; tables of 64 entries.
const HELLO: [u8; 20] = [0, 3, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 64, 0, 0, 0, 64];

fn handshake(initiates: bool) -> HandshakeState {
    let key: [u8; 32] = Sha256::digest(b"lvs peer key\0the key of this story").into();
    let pattern = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
    let builder = Builder::new(pattern)
        .psk(0, &key)
        .and_then(|builder| builder.prologue(b"lvs peer link"))
        .unwrap();
    let state = if initiates {
        builder.build_initiator()
    } else {
        builder.build_responder()
    };
    state.unwrap()
}

fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write(stream: &mut TcpStream, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, bytes].concat()).unwrap();
}

fn say_hello(stream: &mut TcpStream, state: &mut HandshakeState) {
    let mut message = [0; 256];
    let length = state.write_message(&HELLO, &mut message).unwrap();
    write(stream, &message[..length]);
}

fn hear_hello(stream: &mut TcpStream, state: &mut HandshakeState) {
    let message = read(stream).unwrap();
    let mut hello = [0; 256];
    let length = state.read_message(&message, &mut hello).unwrap();
    assert!(length >= HELLO.len());
    assert_eq!(hello[..2], [0, 3], "a director of version 3 refuses it");
    assert!(matches!(hello[2], 1 | 2));
}

fn send(stream: &mut TcpStream, state: &mut TransportState, frame: &[u8]) {
    let mut encrypted = vec![0; frame.len() + 16];
    state.write_message(frame, &mut encrypted).unwrap();
    write(stream, &encrypted);
}

fn receive(stream: &mut TcpStream, state: &mut TransportState) -> Option<Vec<u8>> {
    let encrypted = read(stream).ok()?;
    let mut frame = vec![0; encrypted.len()];
    let length = state.read_message(&encrypted, &mut frame).unwrap();
    frame.truncate(length);
    Some(frame)
}

/// The records of a frame: kind and fields.
fn records(mut frame: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::new();
    while let [kind, rest @ ..] = frame {
        let length = match kind {
            1 => 41,
            2 => 36,
            3 => 72,
            4 | 6 | 7 => 8,
            5 | 10 | 11 => 4,
            8 => 2 + usize::from(u16::from_be_bytes([rest[0], rest[1]])),
            9 => 12,
            _ => panic!("record {kind} is unknown to version 3"),
        };
        records.push((*kind, rest[..length].to_vec()));
        frame = &rest[length..];
    }
    records
}

/// An IPv4 address in 16 bytes.
fn wide(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&octets(address));
    bytes
}

fn octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => panic!("{address}"),
    }
}

/// A frame with an established connection to the first real server, and the only scan.
fn connection(client: Ipv4Addr) -> Vec<u8> {
    let virtual_address = virtual_address(Family::Ipv4, Method::Direct);
    let server = server(Family::Ipv4, 1);
    let mut frame = vec![1, 0, 5];
    frame.extend(wide(virtual_address));
    frame.extend([0, 80, 6, 4]);
    frame.extend(wide(server));
    frame.extend([0, 80, 4]);
    // The first entry of the table, just seen.
    let scan = [0, 0, 0, 1, 0, 0, 0, 1];
    frame.push(6);
    frame.extend(scan);
    frame.extend([2, 0, 0, 0, 1, 0, 0, 0, 0]);
    frame.extend(ticks(900).to_be_bytes());
    frame.extend(client.octets());
    frame.extend(octets(virtual_address));
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend([0, 80, 6, 0, 0, 5, tcp::State::Established as u8, 0, 0]);
    frame.extend([0, 0, 0, 0, 1]);
    frame.push(7);
    frame.extend(scan);
    frame
}

/// Serves one session that the director dials: tells of each IPv4 connection, until it ends.
fn serve(mut stream: TcpStream, told: &mpsc::Sender<Vec<u8>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut state = handshake(false);
    hear_hello(&mut stream, &mut state);
    say_hello(&mut stream, &mut state);
    let mut state = state.into_transport_mode().unwrap();
    let (mut number, mut scan) = (0_u64, [0; 4]);
    while let Some(frame) = receive(&mut stream, &mut state) {
        for (kind, fields) in records(&frame) {
            match kind {
                2 => told.send(fields[12..16].to_vec()).unwrap(),
                7 => scan.copy_from_slice(&fields[..4]),
                8 => {
                    let message: Value = serde_json::from_slice(&fields[2..]).unwrap();
                    let known = ["role", "takeover", "health"];
                    let known = known.iter().any(|name| message.get(name).is_some());
                    assert!(known, "{message} is unknown to version 3");
                }
                _ => {}
            }
        }
        let acknowledged = [&[9][..], &number.to_be_bytes(), &scan].concat();
        send(&mut stream, &mut state, &acknowledged);
        number += 1;
    }
}

#[test]
fn connections_are_replicated_to_and_from_a_director_of_version_3() {
    let Some(world) = World::new() else {
        return;
    };
    let here = SocketAddr::new(own_sync(Family::Ipv4, 1), PORT);
    let there = SocketAddr::new(own_sync(Family::Ipv4, 2), PORT);
    let namespace = world.one().namespace().clone();
    let listener = namespace
        .enter(|| TcpListener::bind(here).unwrap())
        .unwrap();
    let (told, received) = mpsc::channel();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(stream, &told);
    });
    world.start_two(&lines());

    let mut stream = namespace
        .enter(|| TcpStream::connect(there).unwrap())
        .unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut state = handshake(true);
    say_hello(&mut stream, &mut state);
    hear_hello(&mut stream, &mut state);
    let mut state = state.into_transport_mode().unwrap();
    send(&mut stream, &mut state, &[]);
    let client = Ipv4Addr::new(10, 1, 0, 77);
    send(&mut stream, &mut state, &connection(client));
    let mut beats = stream.try_clone().unwrap();
    // Answers, until the scan is applied.
    loop {
        let frame = receive(&mut stream, &mut state).expect("the session goes on");
        let applied = |(kind, fields): &(u8, Vec<u8>)| *kind == 9 && fields[8..] == [0, 0, 0, 1];
        if records(&frame).iter().any(applied) {
            break;
        }
        send(&mut beats, &mut state, &[]);
    }
    let known = connections(world.two());
    let line = format!("ESTABLISHED {client}:40000 ");
    assert!(known.iter().any(|it| it.contains(&line)), "{known:?}");

    // The other way: the director becomes master, and clients come to it. Meanwhile the session is kept alive.
    let alive = thread::spawn(move || {
        let mut number = 1_u32;
        while let Some(frame) = receive(&mut stream, &mut state) {
            records(&frame);
            number += 1;
            let scan = [number.to_be_bytes(), 1_u32.to_be_bytes()].concat();
            send(
                &mut beats,
                &mut state,
                &[&[6][..], &scan, &[7], &scan].concat(),
            );
        }
    });
    until("each knows the other", || {
        let peer = peer(world.two());
        peer.state == PeerState::InStep && peer.version == Some(3)
    });
    let status = world.two().lvsadm("sync status").unwrap();
    assert!(
        status.contains("it speaks version 3 of the protocol"),
        "{status}"
    );
    world.two().lvsadm("sync wait --timeout 20s").unwrap();
    world.two().lvsadm("role master --force").unwrap();
    let streams = world.connect(&[Method::Direct], 1);
    let source = streams[0].local_addr().unwrap().ip();
    let address = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(address, octets(source));
    // It goes on beyond the looks at which newer directors compare what they have.
    assert_eq!(peer(world.two()).received.unwrap().losses, 0);
    world.two().stop().unwrap();
    alive.join().unwrap();
    server.join().unwrap();
}
