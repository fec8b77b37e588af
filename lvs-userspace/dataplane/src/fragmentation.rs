//! Fragments of IPv4 packets (RFC 791 section 3.2).

use lvs_common::checksum::Sum;
use lvs_common::wire::{ETHERTYPE_IPV4, Ipv4, TCP_CHECKSUM, UDP_CHECKSUM, protocol};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::frame_image::FrameImage;

/// Bytes of an IPv4 header without options.
const HEADER: usize = 20;

/// The frames that carry an IPv4 packet in pieces of at most `mtu` bytes. None: it is no such packet, or must not
/// be fragmented.
pub fn fragments(frame: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    cut(frame, mtu.into()).unwrap_or_default()
}

/// Finishes the transport checksum of a frame's IPv4 packet of TCP or UDP. Anything else stays as it is.
pub fn finish_checksum(frame: &mut [u8]) {
    let _ = finish(frame);
}

fn finish(frame: &mut [u8]) -> Option<()> {
    let link = FrameImage::new(frame).link()?;
    let packet = frame.get_mut(link.payload..)?;
    let (header, _) = Ipv4::read_from_prefix(packet).ok()?;
    let place = match header.protocol {
        protocol::TCP => TCP_CHECKSUM,
        protocol::UDP => UDP_CHECKSUM,
        _ => return None,
    };
    if link.ethertype != ETHERTYPE_IPV4 {
        return None;
    }
    let end = usize::from(header.total_length.get());
    let segment = packet.get_mut(header.header_length()..end)?;
    let length = u16::try_from(segment.len()).ok()?;
    segment.get_mut(place..place + 2)?.fill(0);
    let pseudo = Sum::default()
        .add(header.source)
        .add(header.destination)
        .add([0, header.protocol, 0, 0])
        .add_field(length.to_be_bytes());
    let (words, rest) = segment.as_chunks();
    let mut last = [0; 4];
    last.get_mut(..rest.len())?.copy_from_slice(rest);
    let sum = words.iter().fold(pseudo, |sum, word| sum.add(*word));
    let checksum = match sum.add(last).checksum() {
        // RFC 768: zero says that there is none.
        [0, 0] => [0xff; 2],
        checksum => checksum,
    };
    segment
        .get_mut(place..place + 2)?
        .copy_from_slice(&checksum);
    Some(())
}

fn cut(frame: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let link = FrameImage::new(frame).link()?;
    let (before, packet) = frame.split_at_checked(link.payload)?;
    let (header, _) = Ipv4::read_from_prefix(packet).ok()?;
    let (field, length) = (header.fragment.get(), header.header_length());
    let whole = packet.get(..usize::from(header.total_length.get()))?;
    if link.ethertype != ETHERTYPE_IPV4
        || header.version_length >> 4 != 4
        || length < HEADER
        || field & Ipv4::DONT_FRAGMENT != 0
    {
        return None;
    }
    let (_, data) = whole.split_at_checked(length)?;
    let options = whole.get(HEADER..length)?;
    let mut pieces = Vec::new();
    let (mut offset, mut rest) = (0, data);
    while !rest.is_empty() {
        let options = if offset == 0 {
            options.to_vec()
        } else {
            copied(options)
        };
        let room = mtu.checked_sub(HEADER + options.len())?;
        let last = rest.len() <= room;
        // All but the last are multiples of eight bytes.
        let size = if last { rest.len() } else { room & !7 };
        let (piece, after) = rest.split_at_checked(size).filter(|_| size > 0)?;
        let more = if last {
            field & Ipv4::MORE_FRAGMENTS
        } else {
            Ipv4::MORE_FRAGMENTS
        };
        let start = usize::from(field & Ipv4::OFFSET) + offset / 8;
        let words = u8::try_from((HEADER + options.len()) / 4).ok()?;
        let mut header = Ipv4 {
            version_length: 0x40 | words,
            total_length: U16::new(u16::try_from(HEADER + options.len() + size).ok()?),
            fragment: U16::new(more | u16::try_from(start).ok()? & Ipv4::OFFSET),
            checksum: [0; 2],
            ..header
        };
        let mut sum = Sum::default();
        let (fixed, _) = header.as_bytes().as_chunks();
        let (chosen, _) = options.as_chunks();
        for word in fixed.iter().chain(chosen) {
            sum = sum.add(*word);
        }
        header.checksum = sum.checksum();
        pieces.push([before, header.as_bytes(), &options, piece].concat());
        (offset, rest) = (offset + size, after);
    }
    Some(pieces)
}

/// The options that stand in every fragment: those with the copied flag, padded to whole words.
fn copied(options: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::new(), options);
    while let [kind, after @ ..] = rest {
        let length = match (*kind, after) {
            (0, _) => break,
            (1, _) => 1,
            (_, [length, ..]) => usize::from(*length).max(2),
            _ => break,
        };
        let Some((option, next)) = rest.split_at_checked(length) else {
            break;
        };
        if kind & 0x80 != 0 {
            kept.extend(option);
        }
        rest = next;
    }
    kept.resize(kept.len().next_multiple_of(4), 0);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_frames::{Content, Packet};

    /// An IPv4 packet with these options, this fragment field and so many bytes of data, in a frame.
    fn frame(options: &[u8], fragment: u16, data: usize) -> Vec<u8> {
        let length = HEADER + options.len();
        let words = u8::try_from(length / 4).unwrap();
        let total = u16::try_from(length + data).unwrap().to_be_bytes();
        let [high, low] = fragment.to_be_bytes();
        let mut frame = vec![0; 12];
        frame.extend([
            8,
            0,
            0x40 | words,
            0,
            total[0],
            total[1],
            0,
            7,
            high,
            low,
            64,
            17,
            0,
            0,
        ]);
        frame.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        frame.extend(options);
        frame.extend((0..data).map(|byte| u8::try_from(byte % 251).unwrap()));
        frame.extend([0xee; 3]);
        frame
    }

    /// Puts pieces together: the data, and the fragment fields.
    fn join(pieces: &[Vec<u8>], mtu: usize) -> (Vec<u8>, Vec<u16>) {
        let (mut data, mut fields) = (Vec::new(), Vec::new());
        for piece in pieces {
            assert!(piece.len() <= 14 + mtu);
            let packet = &piece[14..];
            let (header, _) = Ipv4::read_from_prefix(packet).unwrap();
            assert_eq!(usize::from(header.total_length.get()), packet.len());
            let (words, _) = packet[..header.header_length()].as_chunks();
            let sum = words
                .iter()
                .fold(Sum::default(), |sum, word| sum.add(*word));
            assert_eq!(sum.checksum(), [0, 0]);
            data.extend(&packet[header.header_length()..]);
            fields.push(header.fragment.get());
        }
        (data, fields)
    }

    #[test]
    fn the_pieces_are_the_packet_and_fit() {
        for (size, mtu) in [
            (1472, 1480),
            (1480, 1500),
            (1481, 1500),
            (3000, 576),
            (9, 28),
            (8, 68),
        ] {
            let frame = frame(&[], 0, size);
            let pieces = fragments(&frame, mtu);
            let (data, fields) = join(&pieces, mtu.into());
            assert_eq!(data, &frame[34..34 + size]);
            let more = |field: &u16| field & Ipv4::MORE_FRAGMENTS != 0;
            assert_eq!(fields.iter().filter(|field| !more(field)).count(), 1);
            assert!(!more(fields.last().unwrap()) && fields[0] & Ipv4::OFFSET == 0);
        }
    }

    #[test]
    fn a_fragment_is_cut_into_fragments_of_the_same_packet() {
        let (_, fields) = join(&fragments(&frame(&[], 0x2000 | 0x64, 48), 52), 52);
        assert_eq!(fields, [0x2000 | 0x64, 0x2000 | 0x68]);
    }

    #[test]
    fn only_copied_options_stand_in_all_pieces() {
        // Record route (not copied), then a security option (copied).
        let options = [7, 7, 4, 0, 0, 0, 0, 0x82, 4, 1, 2, 0];
        let pieces = fragments(&frame(&options, 0, 64), 68);
        assert_eq!(pieces[0][34..46], options);
        assert_eq!(pieces[1][14] & 0xf, 6);
        assert_eq!(pieces[1][34..38], [0x82, 4, 1, 2]);
        join(&pieces, 68);
    }

    #[test]
    fn an_unfinished_checksum_is_finished() {
        let (source, destination) = ([10, 1, 0, 1].into(), [10, 9, 0, 1].into());
        for content in [
            Content::Udp {
                ports: [7, 80],
                checksum: true,
                data: vec![3; 101],
            },
            Content::Tcp {
                ports: [7, 80],
                flags: 0x10,
                data: vec![9; 100],
            },
        ] {
            let packet = Packet {
                tags: vec![5],
                options: vec![1, 1, 1, 0],
                ..Packet::new(source, destination, content)
            };
            let whole = [packet.frame(), vec![0; 3]].concat();
            let place = 18 + 24 + if packet.frame()[27] == 6 { 16 } else { 6 };
            let mut frame = whole.clone();
            frame[place..place + 2].copy_from_slice(&[0x12, 0x34]);
            finish_checksum(&mut frame);
            assert_eq!(frame, whole);
        }
    }

    #[test]
    fn a_checksum_that_cannot_be_finished_stays() {
        let mut cut_short = frame(&[], 0, 100)[..40].to_vec();
        let before = cut_short.clone();
        finish_checksum(&mut cut_short);
        assert_eq!(cut_short, before);
        finish_checksum(&mut []);
    }

    #[test]
    fn what_must_or_can_not_be_fragmented_is_not() {
        assert!(fragments(&frame(&[], Ipv4::DONT_FRAGMENT, 100), 60).is_empty());
        assert!(fragments(&frame(&[], 0, 100), 27).is_empty());
        assert!(fragments(&frame(&[], 0, 100)[..60], 60).is_empty());
        assert!(fragments(&[], 60).is_empty());
    }
}
