//! The process' own memory.

/// Makes all threads share one heap: heaps of their own would keep memory that the others could use, and this
/// process' threads allocate little. To be called before there are any.
pub fn share() {
    // SAFETY: it only sets a parameter, before the first thread that would notice (mallopt(3)).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns unused memory to the kernel: reading a large file, or the kernel's own types when the programs are
/// loaded, leaves tens of megabytes that the C library would keep.
pub fn trim() {
    // SAFETY: it takes a number of bytes to keep, and may be called at any time by any thread
    // (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
