//! The kernel's routes, asked with the context of a packet.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::bpf_fib_lookup as Question;
use aya_ebpf::helpers::generated::bpf_fib_lookup;
use aya_ebpf::programs::XdpContext;
use lvs_common::abi::RouteQuestion;
use lvs_common::packet::Packet as _;
use lvs_common::routes::{Lookup, Routes};

use crate::frame::Frame;
use crate::xdp::Xdp;

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

/// Answers a [`RouteQuestion`] where it lies. Returns the answer's code; none answers a frame that is no question.
#[inline(always)]
pub(crate) fn answer(context: &XdpContext) -> u32 {
    let mut packet = Frame::<Xdp>::new(context);
    let routes = packet.routes();
    let Some(question) = packet.header_mut::<RouteQuestion>(0) else {
        return u32::MAX;
    };
    // The helper takes memory of the stack only.
    let mut lookup: Lookup = zerocopy::transmute!(question.lookup);
    let answer = routes.look_up(&mut lookup, u32::from_ne_bytes(question.flags));
    question.lookup = zerocopy::transmute!(lookup);
    answer
}
