//! Runs a loaded program once, on bytes that take the place of a frame (`BPF_PROG_TEST_RUN`).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::system_call::bpf;

/// Runs an XDP program on a frame and returns its result; what it wrote into the frame is there afterwards.
pub(super) fn run_program(program: BorrowedFd<'_>, frame: &mut [u8]) -> io::Result<u32> {
    const PROG_TEST_RUN: libc::c_long = 10;
    /// The beginning of `union bpf_attr` of `BPF_PROG_TEST_RUN`.
    #[repr(C)]
    struct Run {
        program: u32,
        result: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let size = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let frame = frame.as_mut_ptr() as u64;
    let mut run = Run {
        program: program.as_raw_fd().unsigned_abs(),
        result: 0,
        size_in: size,
        size_out: size,
        data_in: frame,
        data_out: frame,
        repeat: 1,
        duration: 0,
    };
    bpf(PROG_TEST_RUN, &mut run)?;
    Ok(run.result)
}
