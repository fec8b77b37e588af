//! Later fragments that came before the first one of their packet: they wait for it a moment. Several receive
//! queues of a machine reorder packets by microseconds. Sans I/O: the time comes in as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use lvs_common::abi::FragmentKey;
use lvs_common::family::{V4, V6};
use lvs_common::network::{Network, Part};
use lvs_common::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use crate::frame_image::FrameImage;

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
    let frame = FrameImage::new(frame);
    let link = frame.link()?;
    match link.ethertype {
        ETHERTYPE_IPV4 => key_of::<V4>(&frame, link.payload),
        ETHERTYPE_IPV6 => key_of::<V6>(&frame, link.payload),
        _ => None,
    }
}

fn key_of<F: Network>(frame: &FrameImage<'_>, start: usize) -> Option<FragmentKey> {
    let datagram = frame.datagram::<F>(start)?;
    (datagram.part == Part::Later).then(|| datagram.fragment_key())
}

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
