//! Frames that the program gave the daemon to hold: early fragments, packets to be fragmented, and segments that are
//! to come in once more.

use std::os::fd::AsFd as _;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData, RingBuf};
use lvs_common::abi::{self, FragmentKey, HeldFrame};
use lvs_common::connection::Ports;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;
use zerocopy::FromBytes as _;

use super::error::KernelError;
use super::wire::Wire;

/// `BPF_NOEXIST` of `linux/bpf.h`: an element is not replaced.
const NO_EXIST: u64 = 1;

/// A frame that the program gave to hold.
#[derive(Clone, Debug)]
pub struct Held {
    /// Index of the interface it came by.
    pub interface: u32,
    /// It is to be fragmented to this size; 0: it is a fragment that waits for its first one;
    /// [`HeldFrame::AGAIN`]: it is to come in once more.
    pub mtu: u16,
    /// Its transport checksum is to be finished.
    pub unfinished: bool,
    /// The frame.
    pub frame: Vec<u8>,
}

/// The ring buffer of held fragments, and the table that says whether their first one came.
pub struct HeldFragments {
    ring: Mutex<RingBuf<MapData>>,
    known: Mutex<HashMap<MapData, Wire<FragmentKey>, Wire<Ports>>>,
}

impl HeldFragments {
    pub(super) fn new(ring: Map, known: Map) -> Result<Self, KernelError> {
        let ring =
            RingBuf::try_from(ring).map_err(KernelError::map("cannot use", abi::HELD_FRAGMENTS))?;
        let known =
            HashMap::try_from(known).map_err(KernelError::map("cannot use", abi::FRAGMENTS))?;
        Ok(Self {
            ring: Mutex::new(ring),
            known: Mutex::new(known),
        })
    }

    /// Waits until there are frames, at most so long.
    pub fn wait(&self, most: Duration) {
        let ring = self.ring.lock();
        let mut polled = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
        // Whatever ended it: the caller looks.
        let _ = poll(&mut polled, most);
    }

    /// Removes the frames there are.
    pub fn drain(&self) -> Vec<Held> {
        let mut ring = self.ring.lock();
        let mut frames = Vec::new();
        while let Some(item) = ring.next() {
            if let Ok((held, _)) = HeldFrame::read_from_prefix(&item) {
                let bytes = held.bytes.get(..usize::from(held.length));
                frames.extend(bytes.map(|bytes| Held {
                    interface: held.interface,
                    mtu: held.mtu & !HeldFrame::UNFINISHED,
                    unfinished: held.mtu & HeldFrame::UNFINISHED != 0,
                    frame: bytes.to_vec(),
                }));
            }
        }
        frames
    }

    /// True if the first fragment of a packet came, or was given up.
    pub fn is_known(&self, key: &FragmentKey) -> bool {
        self.known.lock().get(&Wire(*key), 0).is_ok()
    }

    /// Has later fragments of a packet wait no longer for the first one.
    pub fn release(&self, key: &FragmentKey) {
        // Either it is there now, or there is no room: then they wait in vain once more.
        let _ = self
            .known
            .lock()
            .insert(Wire(*key), Wire(Ports::default()), NO_EXIST);
    }
}
