//! Later fragments that came before the first one of their packet: they wait for it a moment. Several receive
//! queues of a machine reorder packets by microseconds. Sans I/O: the time comes in as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lvs_common::abi::FragmentKey;
use lvs_common::ethernet::{self, EthernetHeader};
use lvs_common::family::{V4, V6};
use lvs_common::network::{Datagram, Network, Part};
use lvs_common::packet::{Header, Packet};
use lvs_common::routes::{Lookup, Routes};
use lvs_common::walk::Walk;
use lvs_common::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

/// A fragment waits so long for the first one. (IPVS has the kernel reassemble packets, for thirty seconds; but
/// the order is wrong for a moment only, and each frame that waits is memory.)
pub const PATIENCE: Duration = Duration::from_millis(50);

/// Frames that wait at most; the ring buffer they come by holds 127 more.
const MOST: usize = 1024;

/// A frame that waits.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The key that it shares with the other fragments of its packet.
    pub key: FragmentKey,
    /// Index of the interface it came by.
    pub interface: u32,
    /// The frame.
    pub frame: Vec<u8>,
    /// It waits until then.
    until: Instant,
}

/// The frames that wait, the oldest first.
#[derive(Debug, Default)]
pub struct EarlyFragments(VecDeque<Waiting>);

impl EarlyFragments {
    /// Adds a frame; one that is no later fragment, or that there is no room for, is dropped.
    pub fn insert(&mut self, interface: u32, frame: Vec<u8>, now: Instant) {
        if let Some(key) = key(&frame).filter(|_| self.0.len() < MOST) {
            self.0.push_back(Waiting {
                key,
                interface,
                frame,
                until: now + PATIENCE,
            });
        }
    }

    /// Removes the frames whose wait is over: the first fragment is known, or (true) did not come in time.
    pub fn over(
        &mut self,
        now: Instant,
        is_known: impl Fn(&FragmentKey) -> bool,
    ) -> Vec<(Waiting, bool)> {
        let mut over = Vec::new();
        let mut left = VecDeque::new();
        for waiting in std::mem::take(&mut self.0) {
            if is_known(&waiting.key) {
                over.push((waiting, false));
            } else if waiting.until <= now {
                over.push((waiting, true));
            } else {
                left.push_back(waiting);
            }
        }
        self.0 = left;
        over
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The key of a later fragment.
fn key(frame: &[u8]) -> Option<FragmentKey> {
    let mut header = EthernetHeader::EMPTY;
    let frame = Bytes(frame);
    ethernet::parse(&frame, &mut header).ok()?;
    match header.ethertype {
        ETHERTYPE_IPV4 => key_of::<V4>(&frame, header.payload, [0; 4]),
        ETHERTYPE_IPV6 => key_of::<V6>(&frame, header.payload, [0; 16]),
        _ => None,
    }
}

fn key_of<F: Network>(frame: &Bytes<'_>, start: usize, none: F::Address) -> Option<FragmentKey> {
    let datagram = datagram::<F>(frame, start, none)?;
    (datagram.part == Part::Later).then(|| datagram.fragment_key())
}

/// The packet of a frame, which starts there. `none` is any address.
pub(crate) fn datagram<F: Network>(
    frame: &Bytes<'_>,
    start: usize,
    none: F::Address,
) -> Option<Datagram<F>> {
    let mut datagram = Datagram::<F> {
        network: 0,
        transport: 0,
        end: 0,
        source: none,
        destination: none,
        protocol: 0,
        hop_limit: 0,
        part: Part::Whole,
        identification: 0,
    };
    F::parse(frame, Loop, start, &mut datagram).ok()?;
    Some(datagram)
}

/// A frame that is only read.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Packet for Bytes<'_> {
    type Routes = NoRoutes;

    fn routes(&self) -> NoRoutes {
        NoRoutes
    }

    fn length(&self) -> usize {
        self.0.len()
    }

    fn interface(&self) -> u32 {
        0
    }

    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let bytes = self.0.get(offset..)?;
        T::ref_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    fn header_mut<T: Header>(&mut self, _offset: usize) -> Option<&mut T> {
        None
    }

    fn grow(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    fn shrink(&mut self, _bytes: usize) -> Option<()> {
        None
    }

    fn truncate(&mut self, _length: usize) -> Option<()> {
        None
    }
}

/// Nothing is looked up.
#[derive(Clone, Copy)]
pub(crate) struct NoRoutes;

impl Routes for NoRoutes {
    fn look_up(self, _lookup: &mut Lookup, _flags: u32) -> u32 {
        Lookup::NOT_FORWARDED
    }
}

/// A plain loop.
#[derive(Clone, Copy)]
struct Loop;

impl Walk for Loop {}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 fragment of a datagram with this identification.
    fn fragment(identification: u8, offset: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([
            0x08,
            0x00,
            0x45,
            0,
            0,
            28,
            0,
            identification,
            0,
            offset,
            64,
            17,
            0,
            0,
        ]);
        frame.extend([198, 51, 100, 7, 192, 0, 2, 1]);
        frame.extend([0; 8]);
        frame
    }

    #[test]
    fn a_fragment_waits_until_its_first_one_is_known_or_time_is_up() {
        let start = Instant::now();
        let mut early = EarlyFragments::default();
        early.insert(3, fragment(1, 9), start);
        early.insert(4, fragment(2, 9), start);
        assert!(early.over(start, |_| false).is_empty());
        let over = early.over(start, |key| key.identification == 2);
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].0.interface, over[0].1), (4, false));
        assert_eq!(over[0].0.frame, fragment(2, 9));
        let over = early.over(start + PATIENCE, |_| false);
        assert_eq!((over[0].0.interface, over[0].1), (3, true));
        assert!(early.is_empty());
    }

    #[test]
    fn what_is_no_later_fragment_does_not_wait_and_the_number_is_bounded() {
        let start = Instant::now();
        let mut early = EarlyFragments::default();
        early.insert(3, fragment(1, 0), start);
        early.insert(3, vec![0; 10], start);
        early.insert(3, Vec::new(), start);
        assert!(early.is_empty());
        for _ in 0..2 * MOST {
            early.insert(3, fragment(1, 9), start);
        }
        assert_eq!(early.over(start, |_| true).len(), MOST);
    }
}
