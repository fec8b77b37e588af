//! The clock that entries are timed by.

/// Length of the clock's tick in nanoseconds: the coarse monotonic clock shifted right by
/// [`TICK_SHIFT`], a little more than a millisecond, so that 32 bits last 52 days.
pub const TICK_NANOS: u64 = 1 << TICK_SHIFT;
/// See [`TICK_NANOS`].
pub const TICK_SHIFT: u32 = 20;

/// Seconds as clock ticks, rounded up. The longest time IPVS allows (31 days) fits.
pub const fn ticks(seconds: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "31 days are 2.6e9 ticks, more is cut"
    )]
    let ticks = (seconds as u64 * 1_000_000_000).div_ceil(TICK_NANOS) as u32;
    ticks
}

/// Clock ticks as whole seconds, rounded down.
pub const fn seconds(ticks: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "fewer seconds than ticks")]
    let seconds = (ticks as u64 * TICK_NANOS / 1_000_000_000) as u32;
    seconds
}

/// Ticks since an entry was last seen. Another CPU may have handled a packet after this one read the
/// clock: what lies up to a minute ahead counts as no time at all.
#[inline(always)]
pub const fn age(now: u32, seen: u32) -> u32 {
    const AHEAD: u32 = ticks(60);
    let age = now.wrapping_sub(seen);
    if age > u32::MAX - AHEAD { 0 } else { age }
}
