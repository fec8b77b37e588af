//! The director inside a harness that makes flows: what `cargo xtask bench` measures.
//!
//! `BPF_PROG_TEST_RUN` repeats a program on one frame without restoring it. So the harness writes the
//! frame anew each time, with another flow's address and port, calls the director, checks what it
//! returned, and takes off what a tunnel put before the frame. The same harness around an empty function
//! is the floor that is subtracted.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(
    internal_features,
    unknown_lints,
    missing_docs,
    unreachable_pub,
    non_upper_case_globals,
    clippy::inline_always,
    reason = "as in main.rs"
)]

mod act;
mod atomic;
mod clients;
mod clock;
mod frame;
mod maps;
mod packet_trace;
mod program_log;
mod routes;
#[expect(
    dead_code,
    reason = "the harness calls the stages that the data path has loaded"
)]
mod split;
mod tables;
mod verifier;
mod ways;
mod xdp;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action, xdp_md};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use lvs_common::abi::{BENCH_FRAME, Bench};
use lvs_common::checksum::Sum;
use lvs_common::connection::table::{self, Place, Store, Ways};
use lvs_common::connection::{Key, Kind, Servers as _};
use lvs_common::ethernet::put_addresses;
use lvs_common::family::{V4, V6};
use lvs_common::network::Network;
use lvs_common::packet::{Header, Packet};
use lvs_common::tables::Tables;
use lvs_common::wire::{Ethernet, Ipv4, Ipv6};

use crate::frame::Frame;
use crate::tables::Kernel;
use crate::xdp::Xdp;

#[map]
static bench: Array<Bench> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// The director behind the harness: its fast path, which calls the stages that the data path has loaded.
#[xdp]
pub fn measured(context: XdpContext) -> u32 {
    run(&context, direct)
}

/// Nothing behind the harness.
#[xdp]
pub fn floor(context: XdpContext) -> u32 {
    run(&context, nothing)
}

/// The least that forwards by the connection table: what the machine takes for it.
#[xdp]
pub fn yardstick(context: XdpContext) -> u32 {
    run(&context, least)
}

/// The director alone, for live frames.
#[xdp]
pub fn live(context: XdpContext) -> u32 {
    direct(context.as_ptr().cast())
}

/// Hands live frames to what is behind the driver.
#[xdp]
pub fn pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Sends live frames of the flows.
#[xdp]
pub fn generator(context: XdpContext) -> u32 {
    let mut frame = Frame::<Xdp>::new(&context);
    match bench.get_ptr_mut(0) {
        // SAFETY: a map value; only this program changes it while it runs.
        Some(plan) if write(&mut frame, unsafe { &mut *plan }).is_some() => xdp_action::XDP_TX,
        _ => xdp_action::XDP_ABORTED,
    }
}

/// Sends every frame back with its Ethernet addresses swapped: the floor of live frames.
#[xdp]
pub fn reflect(context: XdpContext) -> u32 {
    let mut frame = Frame::<Xdp>::new(&context);
    if let Some(header) = frame.header_mut::<[[u8; 6]; 2]>(0) {
        header.swap(0, 1);
    }
    xdp_action::XDP_TX
}

/// Counts what arrives.
#[xdp]
pub fn sink(_context: XdpContext) -> u32 {
    if let Some(plan) = bench.get_ptr_mut(0) {
        // SAFETY: a map value; generator and sink run on one CPU.
        unsafe { (*plan).arrived += 1 };
    }
    xdp_action::XDP_DROP
}

#[inline(never)]
fn direct(context: *mut xdp_md) -> u32 {
    split::director(&XdpContext::new(context))
}

#[inline(never)]
fn nothing(_context: *mut xdp_md) -> u32 {
    bench.get(0).map_or(0, |plan| plan.expected)
}

#[inline(never)]
fn least(context: *mut xdp_md) -> u32 {
    let mut frame = Frame::<Xdp>::new(&XdpContext::new(context));
    let ethertype = frame.header::<Ethernet>(0).map(|header| header.ethertype);
    let sent = match ethertype.map_or(0, |ethertype| ethertype.get()) {
        V4::ETHERTYPE => reflect_known::<V4, Ipv4>(&mut frame, |header| {
            header.ttl = header.ttl.wrapping_sub(1);
            (header.source, header.destination)
        }),
        _ => reflect_known::<V6, Ipv6>(&mut frame, |header| {
            header.hop_limit = header.hop_limit.wrapping_sub(1);
            (header.source, header.destination)
        }),
    };
    sent.map_or(xdp_action::XDP_DROP, |()| xdp_action::XDP_TX)
}

/// Finds a connection, counts the packet and sends it to its server's next hop: no state, no expiry, no
/// checksum, no other counters.
#[inline(always)]
fn reflect_known<F: Network, H: Header>(
    frame: &mut Frame<Xdp>,
    addresses: impl FnOnce(&mut H) -> (F::Address, F::Address),
) -> Option<()>
where
    Kernel: Store<F>,
{
    let ports = *frame.header(14 + F::HEADER)?;
    let (source, destination) = addresses(frame.header_mut(14)?);
    let key = Key {
        source,
        destination,
        ports,
        protocol: 6,
        kind: Kind::Request as u8,
    };
    let place = Place::of(key.hash(Kernel), Store::<F>::sets(Kernel));
    let slot = table::find::<F, Kernel>(Kernel, &key, place)?;
    slot.set.touch(slot.way, 0, u32::MAX);
    let server = Kernel.server(Kernel.server_of(&slot.set.record(slot.way)))?;
    let hop = Kernel.hop(server.hop)?;
    let header: &mut Ethernet = frame.header_mut(0)?;
    put_addresses(header, hop.ethernet);
    Some(())
}

#[inline(always)]
fn run(context: &XdpContext, target: impl Fn(*mut xdp_md) -> u32) -> u32 {
    let mut frame = Frame::<Xdp>::new(context);
    let Some(plan) = bench.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: a map value; only this program changes it while it runs.
    let plan = unsafe { &mut *plan };
    if write(&mut frame, plan).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    // A frame from a network card is at rest when the program sees it. This one was written just now, in
    // other widths than the program reads: a locked instruction waits until the stores are done,
    // which otherwise would be counted as the program's time.
    // SAFETY: an aligned field of a map value.
    unsafe { atomic::fetch_add(&raw mut plan.reserved, 0) };
    let action = target(context.as_ptr().cast());
    if action != plan.expected {
        plan.wrong += 1;
    }
    let length = frame.length();
    if length > BENCH_FRAME {
        let _ = frame.shrink((length - BENCH_FRAME) & 63);
    }
    action
}

/// Writes the frame of the next flow. Its stack is not there any more when the director runs.
#[inline(never)]
fn write(frame: &mut Frame<Xdp>, plan: &mut Bench) -> Option<()> {
    // Knuth's generator; its upper bits are the random ones.
    plan.state = plan
        .state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    let flow = if plan.sequential != 0 {
        plan.next = plan.next.wrapping_add(1);
        plan.next
    } else {
        (((plan.state >> 32) * u64::from(plan.flows)) >> 32) as u32 + 1
    };
    // Scattered over addresses and ports, as real clients are.
    let scattered = u64::from(flow).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    *frame.header_mut::<[u8; BENCH_FRAME]>(0)? = plan.template;
    // 128.0.0.0 to 191.255.255.255 in IPv4: each can be a client's.
    let address = (scattered >> 16) as u32 & !0xc0 | 0x80;
    // Never port 20, from which nothing is scheduled.
    let port = scattered as u16 | 0x80;
    if plan.address_at < 34 {
        // The header's checksum in the template is that without the client's address.
        let checksum = frame.header_mut::<[u8; 2]>(24)?;
        *checksum = Sum::default().add(address.to_ne_bytes()).update(*checksum);
    }
    if plan.address_at == 26 {
        *frame.header_mut::<[u8; 4]>(26)? = address.to_ne_bytes();
        *frame.header_mut::<[u8; 2]>(34)? = port.to_ne_bytes();
    } else if plan.address_at == 30 {
        *frame.header_mut::<[u8; 4]>(30)? = address.to_ne_bytes();
        *frame.header_mut::<[u8; 2]>(36)? = port.to_ne_bytes();
    } else if plan.address_at == 34 {
        *frame.header_mut::<[u8; 4]>(34)? = address.to_ne_bytes();
        *frame.header_mut::<[u8; 2]>(54)? = port.to_ne_bytes();
    } else {
        *frame.header_mut::<[u8; 4]>(50)? = address.to_ne_bytes();
        *frame.header_mut::<[u8; 2]>(56)? = port.to_ne_bytes();
    }
    Some(())
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
