//! The coarse clock, asked for once a timer tick.
//!
//! It moves at timer ticks only, as the kernel's count of them (jiffies) does. Reading that count is a
//! load, while asking for the clock is two function calls, which on processors whose returns are
//! guarded against speculation cost a third of all that a known connection's packet takes.

use core::ptr;
use core::sync::atomic::AtomicU64;

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use lvs_common::abi::TICK_SHIFT;

/// The count of timer ticks in the upper half, and what the clock said then in the lower one. One word for
/// all CPUs: each writes the same, and only once a tick.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// The clock in ticks of `lvs_common::abi::TICK_NANOS`.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a helper without arguments.
    let count = unsafe { bpf_jiffies64() } << 32;
    // SAFETY: an aligned word, loaded and stored whole; the target has no relaxed atomic access.
    let latest = unsafe { ptr::read_volatile(LATEST.as_ptr()) };
    // Nothing was noted yet if it is zero.
    if latest != 0 && (latest ^ count) >> 32 == 0 {
        return latest as u32;
    }
    // SAFETY: a helper without arguments.
    let now = (unsafe { bpf_ktime_get_coarse_ns() } >> TICK_SHIFT) as u32;
    // SAFETY: as above.
    unsafe { ptr::write_volatile(LATEST.as_ptr(), count | u64::from(now)) };
    now
}
