//! Counts the frames that a program handed over and that nobody sent: the kernel drops them after the program is
//! over, and tells its tracepoints alone.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::programs::RawTracePointContext;
use lvs_common::abi::{LostKey, TraceOffsets};
use lvs_common::verdict::Reason;

use crate::tables::Kernel;
use crate::{atomic, maps};

/// Offsets in the structures of the running kernel, set before the programs are loaded.
#[unsafe(no_mangle)]
static TRACE: TraceOffsets = TraceOffsets {
    interface: u32::MAX,
    namespace: u32::MAX,
    number: u32::MAX,
    own: u32::MAX,
    mark: u32::MAX,
    device: u32::MAX,
    head: u32::MAX,
    end: u32::MAX,
    segments: u32::MAX,
    unspecified: u32::MAX,
    tap: u32::MAX,
};

/// `XDP_TX` of `linux/bpf.h`: the one action whose failure `xdp_exception` tells.
const XDP_TX: u32 = 3;
/// Index of every namespace's loopback interface, where no XDP program runs.
const LOOPBACK: u32 = 1;
/// `BPF_NOEXIST`.
const NOT_THERE_YET: u64 = 1;

/// `xdp_redirect_err` (device, program, target, error, map type, map id, index): a frame that no device took.
#[inline(always)]
pub(crate) fn redirect(context: &RawTracePointContext) {
    let (device, error, index): (*const u8, i32, u32) =
        (context.arg(0), context.arg(3), context.arg(6));
    count(device, Some(index), error, 1);
}

/// `xdp_devmap_xmit` (from, to, sent, dropped, error): what became of the frames for a device.
#[inline(always)]
pub(crate) fn transmit(context: &RawTracePointContext) {
    let dropped: i32 = context.arg(3);
    if dropped <= 0 {
        return;
    }
    let (from, to, error): (*const u8, *const u8, i32) =
        (context.arg(0), context.arg(1), context.arg(4));
    if let Some(to) = interface(to) {
        count(from, Some(to), error, dropped as u64);
    }
}

/// `xdp_bulk_tx` (device, sent, dropped, error): what became of the frames sent back.
#[inline(always)]
pub(crate) fn bulk(context: &RawTracePointContext) {
    let dropped: i32 = context.arg(2);
    if dropped > 0 {
        count(context.arg(0), None, context.arg(3), dropped as u64);
    }
}

/// `xdp_exception` (device, program, action): a frame that could not be sent back.
#[inline(always)]
pub(crate) fn exception(context: &RawTracePointContext) {
    let action: u32 = context.arg(2);
    if action == XDP_TX {
        count(context.arg(0), None, 0, 1);
    }
}

/// `kfree_skb` (buffer, place, reason): a socket buffer that is dropped. Of all that the machine drops one field is
/// read.
#[inline(always)]
pub(crate) fn buffer(context: &RawTracePointContext) {
    let offsets = offsets();
    let buffer: *const u8 = context.arg(0);
    if !field(buffer, offsets.mark).is_some_and(|mark| offsets.is_sent(mark)) {
        return;
    }
    let reason: u32 = context.arg(2);
    // A copy for tcpdump and the like, with the mark: the packet itself goes on.
    if reason == offsets.tap {
        return;
    }
    let device = address(buffer, offsets.device);
    if namespace(device, &offsets) != Some(offsets.own) {
        return;
    }
    let Some(interface) = interface(device) else {
        return;
    };
    let frames = segments(buffer, &offsets).max(1);
    // Lost or not, the daemon finds out.
    if reason != offsets.unspecified {
        Kernel::count(Reason::NotSent as u32, frames);
    }
    let key = LostKey {
        interface,
        error: reason | LostKey::BUFFER,
    };
    note(&key, u64::from(frames));
}

/// Packets that a super-packet becomes; 0: it is none.
#[inline(always)]
fn segments(buffer: *const u8, offsets: &TraceOffsets) -> u32 {
    let head = address(buffer, offsets.head);
    let end: u32 = field(buffer, offsets.end).unwrap_or(0);
    let segments: Option<u16> = field(head.wrapping_add(end as usize), offsets.segments);
    u32::from(segments.unwrap_or(0))
}

/// The mark of the socket buffers that the director sends, see [`TraceOffsets::mark`].
#[inline(always)]
pub(crate) fn sent() -> u32 {
    u32::from(offsets().sent())
}

/// Counts frames that came by a device and should have left by `to`, or back by the same.
#[inline(always)]
fn count(from: *const u8, to: Option<u32>, error: i32, frames: u64) {
    let offsets = offsets();
    if namespace(from, &offsets) != Some(offsets.own) {
        return;
    }
    let Some(came_by) = interface(from) else {
        return;
    };
    // The kernel says that frames which came by no interface came by this one.
    let tried = if came_by == LOOPBACK {
        LostKey::TRIED
    } else {
        Kernel::count(Reason::NotSent as u32, frames as u32);
        0
    };
    let key = LostKey {
        interface: to.unwrap_or(came_by) | tried,
        error: error.unsigned_abs(),
    };
    note(&key, frames);
}

#[inline(always)]
fn note(key: &LostKey, frames: u64) {
    if add(key, frames) {
        return;
    }
    // Another CPU may be first.
    if maps::lost_frames
        .insert(key, &frames, NOT_THERE_YET)
        .is_err()
    {
        add(key, frames);
    }
}

#[inline(always)]
fn add(key: &LostKey, frames: u64) -> bool {
    let Some(counter) = maps::lost_frames.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: a value of the map, of eight aligned bytes.
    unsafe { atomic::add(counter, frames) };
    true
}

#[inline(always)]
fn offsets() -> TraceOffsets {
    // SAFETY: a static; volatile, because its value is set in the object.
    unsafe { core::ptr::read_volatile(&raw const TRACE) }
}

#[inline(always)]
fn interface(device: *const u8) -> Option<u32> {
    field(device, offsets().interface)
}

/// The number of a device's network namespace.
#[inline(always)]
fn namespace(device: *const u8, offsets: &TraceOffsets) -> Option<u32> {
    field(address(device, offsets.namespace), offsets.number)
}

/// The structure that a pointer in another one leads to.
#[inline(always)]
fn address(of: *const u8, offset: u32) -> *const u8 {
    let address: u64 = field(of, offset).unwrap_or(0);
    address as usize as *const u8
}

#[inline(always)]
fn field<T>(of: *const u8, offset: u32) -> Option<T> {
    read(of.wrapping_add(offset as usize).cast())
}

#[inline(always)]
fn read<T>(from: *const T) -> Option<T> {
    // SAFETY: the helper reads any address and fails where there is nothing.
    unsafe { bpf_probe_read_kernel(from) }.ok()
}
