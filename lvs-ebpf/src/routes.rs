//! The kernel's routes, asked with the context of a packet.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_fib_lookup as Question;
use aya_ebpf::helpers::generated::bpf_fib_lookup;
use lvs_common::routes::{Lookup, Routes};

/// The context of a packet, for the one helper that neither reads nor changes the packet.
#[derive(Clone, Copy)]
pub(crate) struct KernelRoutes(pub(crate) *mut c_void);

const _: () = assert!(size_of::<Lookup>() == size_of::<Question>());

impl Routes for KernelRoutes {
    #[inline(always)]
    fn look_up(self, lookup: &mut Lookup, flags: u32) -> u32 {
        let question: *mut Question = ptr::from_mut(lookup).cast();
        // SAFETY: a valid context, and as many bytes as the helper is told of, any of which it may write.
        let answer = unsafe { bpf_fib_lookup(self.0, question, size_of::<Lookup>() as i32, flags) };
        answer as u32
    }
}
