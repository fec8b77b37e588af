//! The lab, and what the tests that run in it share.

use std::time::{Duration, Instant};

pub mod bench;
pub mod frames;
pub mod lab;
pub mod object;
pub mod vm;

/// Waits until a condition holds, for a while; tells whether it did.
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
