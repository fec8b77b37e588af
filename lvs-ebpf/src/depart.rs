//! Sends the packets of probes by their routes.

use core::mem::size_of;

use aya_ebpf::bindings::{TC_ACT_SHOT, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1 as NextHop};
use aya_ebpf::helpers::generated::bpf_redirect_neigh;
use aya_ebpf::programs::TcContext;
use lvs_common::family::{Family, V4};
use lvs_common::probe;

use crate::frame::Frame;
use crate::skb::Skb;
use crate::tables::Kernel;

/// `AF_INET` of `linux/socket.h`.
const INET: u32 = 2;
/// `AF_INET6`.
const INET6: u32 = 10;

/// The helper's argument where its address can be stored in double words: a program's stack has to be
/// accessed aligned.
#[repr(C, align(8))]
struct Next {
    _padding: u32,
    neighbour: bpf_redir_neigh,
}

/// Hands a packet to `lvs_common::probe` and sends it to the neighbour of its route, whose Ethernet
/// address the kernel knows or asks for. What has no route goes nowhere.
#[inline(always)]
pub(crate) fn depart(context: &TcContext) -> i32 {
    let Some(route) = probe::depart(&mut Frame::<Skb>::new(context), Kernel) else {
        return TC_ACT_SHOT;
    };
    let nh_family = if route.neighbour_family == V4::NUMBER {
        INET
    } else {
        INET6
    };
    let (words, _) = route.neighbour.as_chunks();
    let word = |index| words.get(index).map_or(0, |word| u32::from_ne_bytes(*word));
    let mut next = Next {
        _padding: 0,
        neighbour: bpf_redir_neigh {
            nh_family,
            // An IPv4 address lies in the first word in either form.
            __bindgen_anon_1: NextHop {
                ipv6_nh: core::array::from_fn(word),
            },
        },
    };
    // SAFETY: the helper reads as many bytes of the neighbour as it has.
    let action = unsafe {
        bpf_redirect_neigh(
            route.interface,
            &raw mut next.neighbour,
            size_of::<bpf_redir_neigh>() as i32,
            0,
        )
    };
    action as i32
}
