//! RCU grace periods, seen from user space.

use std::time::Duration;

/// Returns once every run of the program that was under way has ended.
///
/// The program runs inside one RCU read section, and a global membarrier is a grace period. Whatever
/// was unpublished before the call is referred to by nobody after it.
pub fn wait_for_readers() {
    // SAFETY: the call takes three integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if answer != 0 {
        // Kernels with full dynticks refuse. A run of the program takes microseconds.
        std::thread::sleep(Duration::from_millis(100));
    }
}
