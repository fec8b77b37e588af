//! Signals that would end the daemon where an error is enough.

/// Lets writes beyond the limit of a file's size (RLIMIT_FSIZE) fail with an error, as on a full disk, instead of
/// ending the process (SIGXFSZ). Processes that are started afterwards inherit it.
pub fn survive_file_size_limit() {
    // SAFETY: no handler is installed, so that none can be interrupted or interrupt (signal(2)).
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
