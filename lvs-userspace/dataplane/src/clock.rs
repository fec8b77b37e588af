//! The packet path's clock, read by the daemon.

use lvs_common::abi::TICK_SHIFT;
use nix::time::{ClockId, clock_gettime};

/// Ticks now, see [`lvs_common::abi::TICK_NANOS`].
pub fn now() -> u32 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE) else {
        return 0;
    };
    let nanos = time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned();
    #[expect(clippy::cast_possible_truncation, reason = "the clock wraps by design")]
    let ticks = (nanos >> TICK_SHIFT) as u32;
    ticks
}
