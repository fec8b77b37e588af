//! The system call `bpf`, for what aya has no function for.

use std::io;

/// The `bpf` system call with a part of its argument union.
pub(super) fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes at most the size given, and what the attributes point to is
    // alive and as large as they say (the callers' attributes own or borrow it).
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}
