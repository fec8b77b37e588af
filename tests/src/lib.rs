//! The lab, and what the tests that run in it share.

use std::time::{Duration, Instant};

pub mod bench;
pub mod flood;
pub mod history;
pub mod lab;
pub mod object;
pub mod vm;

pub use lvs_frames as frames;

/// Waits for a condition until the patience is over; returns true if it held.
pub fn eventually(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every pair of an item of the first and one of the second: `pairs(FAMILIES, METHODS)` is each forwarding
/// method over each address family.
pub fn pairs<A: Copy, B>(
    first: impl IntoIterator<Item = A>,
    second: impl IntoIterator<Item = B> + Clone,
) -> impl Iterator<Item = (A, B)> {
    first.into_iter().flat_map(move |one| {
        let second = second.clone().into_iter();
        second.map(move |other| (one, other))
    })
}
