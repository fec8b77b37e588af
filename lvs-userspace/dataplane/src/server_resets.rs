//! Resets of servers that are down and may be alive, sent again: nobody acknowledges a reset, and one that is lost
//! leaves the server with sessions and locks for as long as its own timeouts. Sans I/O: the time comes in as an
//! argument.
//!
//! The program makes the first reset of a client's segment, and gives the segment to the daemon to have its client
//! answered, too. What the daemon sends later is a reset as the client might have sent it, with the number that the
//! server expects next; the program forwards it as it forwards any client's. A server that has had one before drops it.

use std::time::{Duration, Instant};

use lvs_common::checksum::Sum;
use lvs_common::connection::table::{Place, Store as _, find};
use lvs_common::connection::{Key, Kind, Protocol, tcp};
use lvs_common::family::{V4, V6};
use lvs_common::network::{Datagram, Network, Part};
use lvs_common::packet::Packet as _;
use lvs_common::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ipv4, Ipv6, Tcp};
use zerocopy::IntoBytes as _;
use zerocopy::byteorder::network_endian::{U16, U32};

use crate::frame_image::FrameImage;
use crate::kernel::{EntryMapping, Maps};
use crate::table::Table;

/// Pauses before the second and the third reset of a connection.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Connections that wait at most.
const MOST: usize = 4096;

/// Bytes of a TCP header without options.
const LENGTH: u8 = 20;
const FLAG_RST: u8 = 0x04;

/// The client's side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKey {
    /// Over IPv4.
    V4(Key<V4>),
    /// Over IPv6.
    V6(Key<V6>),
}

#[derive(Debug)]
struct Waiting {
    key: ConnectionKey,
    interface: u32,
    reset: Vec<u8>,
    /// Resets that the daemon has sent.
    sent: usize,
    due: Instant,
}

/// The resets that are to be sent again.
#[derive(Debug, Default)]
pub struct ServerResets(Vec<Waiting>);

impl ServerResets {
    /// Has the reset that was made of a client's segment sent again. What is no TCP segment, or too many, is left out.
    pub fn insert(&mut self, interface: u32, segment: &[u8], now: Instant) {
        if self.0.len() < MOST
            && let Some((key, reset)) = reset(segment)
        {
            self.0.push(Waiting {
                key,
                interface,
                reset,
                sent: 0,
                due: now + PAUSES[0],
            });
        }
    }

    /// The frames that are to come in now, with the index of their interface: those of connections that are closed
    /// still. A port that its client uses anew is another connection's.
    pub fn due(
        &mut self,
        now: Instant,
        is_closed: impl Fn(&ConnectionKey) -> bool,
    ) -> Vec<(u32, Vec<u8>)> {
        let mut frames = Vec::new();
        self.0.retain_mut(|waiting| {
            if now < waiting.due {
                return true;
            }
            if !is_closed(&waiting.key) {
                return false;
            }
            frames.push((waiting.interface, waiting.reset.clone()));
            waiting.sent += 1;
            let pause = PAUSES.get(waiting.sent);
            waiting.due = now + pause.copied().unwrap_or_default();
            pause.is_some()
        });
        frames
    }
}

/// Returns whether the connection is in the tables, and was reset.
pub fn is_closed(maps: &Maps, key: &ConnectionKey) -> bool {
    match key {
        ConnectionKey::V4(key) => is_closed_in(maps, &maps.connections4, key),
        ConnectionKey::V6(key) => is_closed_in(maps, &maps.connections6, key),
    }
}

fn is_closed_in<F: Network>(maps: &Maps, entries: &EntryMapping<F>, key: &Key<F>) -> bool {
    let Some(config) = maps.config.read(0) else {
        return false;
    };
    let table = Table::new(entries, &maps.loads);
    let place = Place::of(key.hash(&config.secrets), table.sets());
    let slot = find(table, key, place);
    slot.is_some_and(|slot| tcp::State::from_raw(slot.tag.state()) == tcp::State::Close)
}

/// The reset of a segment's connection, as a frame, with the connection.
fn reset(frame: &[u8]) -> Option<(ConnectionKey, Vec<u8>)> {
    let link = FrameImage::new(frame).link()?;
    match link.ethertype {
        ETHERTYPE_IPV4 => {
            let (key, reset) = reset_of::<V4>(frame, link.payload)?;
            Some((ConnectionKey::V4(key), reset))
        }
        ETHERTYPE_IPV6 => {
            let (key, reset) = reset_of::<V6>(frame, link.payload)?;
            Some((ConnectionKey::V6(key), reset))
        }
        _ => None,
    }
}

fn reset_of<F: Header>(frame: &[u8], payload: usize) -> Option<(Key<F>, Vec<u8>)> {
    let image = FrameImage::new(frame);
    let datagram = image.datagram::<F>(payload)?;
    if datagram.protocol != Protocol::Tcp as u8 || datagram.part != Part::Whole {
        return None;
    }
    let segment: &Tcp = image.header(datagram.transport)?;
    let (ports, sequence) = (segment.ports, segment.sequence);
    let sum: Sum = F::pseudo(
        &datagram.source,
        &datagram.destination,
        Protocol::Tcp as u8,
        u32::from(LENGTH),
    );
    let checksum = sum
        .add(ports.to_bytes())
        .add(sequence.to_bytes())
        .add([LENGTH << 2, FLAG_RST, 0, 0])
        .checksum();
    let reset = Tcp {
        ports,
        sequence,
        acknowledgement: U32::ZERO,
        offset: LENGTH << 2,
        flags: FLAG_RST,
        window: U16::ZERO,
        checksum,
        urgent: U16::ZERO,
    };
    let key = Key {
        source: datagram.source,
        destination: datagram.destination,
        ports,
        protocol: datagram.protocol,
        kind: Kind::Request as u8,
    };
    let header = F::header(&datagram);
    let frame = [frame.get(..payload)?, &header, reset.as_bytes()].concat();
    Some((key, frame))
}

/// A family's header of a reset.
trait Header: Network {
    /// Without options or extension headers.
    fn header(datagram: &Datagram<Self>) -> Vec<u8>;
}

impl Header for V4 {
    fn header(datagram: &Datagram<Self>) -> Vec<u8> {
        let mut header = Ipv4 {
            version_length: 0x45,
            service: 0,
            total_length: U16::new(20 + u16::from(LENGTH)),
            identification: U16::ZERO,
            fragment: U16::new(Ipv4::DONT_FRAGMENT),
            ttl: datagram.hop_limit,
            protocol: Protocol::Tcp as u8,
            checksum: [0; 2],
            source: datagram.source,
            destination: datagram.destination,
        };
        let (words, _) = header.as_bytes().as_chunks();
        let sum = words.iter().fold(Sum(0), |sum, word| sum.add(*word));
        header.checksum = sum.checksum();
        header.as_bytes().to_vec()
    }
}

impl Header for V6 {
    fn header(datagram: &Datagram<Self>) -> Vec<u8> {
        let header = Ipv6 {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(LENGTH.into()),
            next_header: Protocol::Tcp as u8,
            hop_limit: datagram.hop_limit,
            source: datagram.source,
            destination: datagram.destination,
        };
        header.as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(parts: &[&[u8]]) -> u32 {
        let bytes = parts.concat();
        let words = bytes.chunks(2);
        let total: u32 = words
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        (total & 0xffff) + (total >> 16)
    }

    /// A segment without data, with an option in both headers.
    fn segment() -> Vec<u8> {
        let mut frame = [[2; 6], [4; 6]].concat();
        frame.extend([8, 0, 0x46, 0, 0, 48, 0, 7, 0x40, 0, 63, 6, 0, 0]);
        frame.extend([198, 51, 100, 7, 192, 0, 2, 1, 1, 1, 1, 1]);
        frame.extend([0x9c, 0x40, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, 0x10]);
        frame.extend([9, 9, 0, 0, 0, 0, 1, 1, 1, 1]);
        frame
    }

    #[test]
    fn the_reset_has_the_number_that_the_server_expects_and_right_sums() {
        let (key, frame) = reset(&segment()).unwrap();
        let ConnectionKey::V4(key) = key else {
            unreachable!("it is IPv4")
        };
        assert_eq!(
            (key.source, key.destination),
            ([198, 51, 100, 7], [192, 0, 2, 1])
        );
        assert_eq!(frame.len(), 14 + 40);
        assert_eq!(frame[..14], segment()[..14]);
        assert_eq!(frame[14..18], [0x45, 0, 0, 40]);
        assert_eq!((frame[22], frame[23]), (63, 6));
        assert_eq!(sum(&[&frame[14..34]]), 0xffff);
        let ports_and_number = [0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, 4];
        assert_eq!(frame[34..48], ports_and_number);
        assert_eq!(sum(&[&frame[26..34], &[0, 6, 0, 20], &frame[34..]]), 0xffff);
    }

    #[test]
    fn a_reset_is_sent_twice_more_while_its_connection_is_closed() {
        let start = Instant::now();
        let mut resets = ServerResets::default();
        resets.insert(3, &segment(), start);
        resets.insert(3, &[0; 60], start);
        let expected = vec![(3, reset(&segment()).unwrap().1)];
        assert!(resets.due(start, |_| true).is_empty());
        let second = start + PAUSES[0];
        assert_eq!(resets.due(second, |_| true), expected);
        assert!(resets.due(second, |_| true).is_empty());
        let third = second + PAUSES[1];
        assert_eq!(resets.due(third, |_| true), expected);
        assert!(resets.due(third + PAUSES[1], |_| true).is_empty());

        resets.insert(3, &segment(), start);
        assert!(resets.due(second, |_| false).is_empty());
        assert!(
            resets.due(third, |_| true).is_empty(),
            "its port is another's"
        );
    }
}
