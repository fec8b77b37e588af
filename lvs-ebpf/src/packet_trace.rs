//! Records packets for those who trace, in an object that was loaded for them: in any other one none of this is left.

use core::{ptr, slice};

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use lvs_common::abi::{MAX_IMAGE, PacketRecord, TraceScratch};
use lvs_common::connection::table::Store;
use lvs_common::forward::{Work, packet_record};
use lvs_common::network::Network;
use lvs_common::packet::Packet as _;
use lvs_common::verdict::Verdict;

use crate::frame::{Context, Frame};
use crate::tables::{Kernel, constant};
use crate::{maps, verifier};

/// 1 in an object that records packets.
#[unsafe(no_mangle)]
static TRACING: u32 = 2;

/// Returns whether this object records packets. The verifier knows, and leaves out what is not done.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    constant(&TRACING) == 1
}

/// This CPU's record in the making.
#[inline(always)]
fn scratch<'a>() -> Option<&'a mut TraceScratch> {
    let scratch = maps::trace_scratch.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element, and the program is not interrupted by itself.
    Some(unsafe { &mut *scratch })
}

/// Returns whether a packet that just came is recorded, and notes it for the programs that are called.
#[inline(always)]
pub(crate) fn begins<C: Context>(packet: &Frame<C>, flags: u8) -> bool {
    let Some(filter) = maps::trace_filter.get(0) else {
        return false;
    };
    let Some(scratch) = scratch() else {
        return false;
    };
    let matched = &raw mut scratch.matched;
    // SAFETY: a field of this CPU's own element. What the verifier reads back from memory it takes as unknown, however
    // the answer came about.
    let matched = unsafe {
        ptr::write_volatile(matched, packet_record::may_match(packet, filter));
        ptr::read_volatile(matched)
    };
    if matched == 0 {
        return false;
    }
    let record = &mut scratch.record;
    // SAFETY: a helper without arguments.
    record.time = unsafe { bpf_ktime_get_ns() };
    record.length = packet.length() as u32;
    record.flags = flags;
    record.came = image(packet, filter.image, &mut scratch.images, 0) as u16;
    true
}

/// Clears what an earlier packet left of that which is recorded.
#[inline(always)]
pub(crate) fn goes_on<F: Network>(work: &mut Work<F>) {
    if is_on() {
        packet_record::begin(work);
    }
}

/// Records a packet that was handled, if it is to be recorded. Whether it is stands in memory meanwhile: in a register
/// the verifier would go through all stages for either.
#[inline(always)]
pub(crate) fn ends<F: Network, C: Context>(packet: &Frame<C>, work: &Work<F>, verdict: Verdict)
where
    Kernel: Store<F>,
{
    if is_on() {
        finish(packet, work, verdict);
    }
}

/// A function of its own: its variables take nothing from the stack of those who send a packet.
#[inline(never)]
fn finish<F: Network, C: Context>(packet: &Frame<C>, work: &Work<F>, verdict: Verdict)
where
    Kernel: Store<F>,
{
    let Some(scratch) = scratch() else {
        return;
    };
    if scratch.matched == 0 {
        return;
    }
    let Some(filter) = maps::trace_filter.get(0) else {
        return;
    };
    let record = &mut scratch.record;
    record.left = 0;
    record.left_length = 0;
    packet_record::record(Kernel, work, verdict, record);
    // It came so, also where its headers could not be read.
    record.interface = packet.interface();
    let came = usize::from(record.came) & (MAX_IMAGE - 1);
    let mut left = 0;
    if verdict.is_forwarded() {
        record.left_length = packet.length() as u32;
        left = image(packet, filter.image, &mut scratch.images, came);
        scratch.record.left = left as u16;
    }
    let images = verifier::hidden(came + (left & (MAX_IMAGE - 1)));
    if images > 2 * MAX_IMAGE {
        return;
    }
    let bytes = size_of::<PacketRecord>() + images;
    let record = ptr::from_mut(&mut scratch.record).cast::<u8>();
    // SAFETY: the record and the images behind it lie in one map value, and are no larger than it.
    let record = unsafe { slice::from_raw_parts(record, bytes) };
    let sent = maps::packet_records.output::<[u8]>(record, u64::from(BPF_RB_NO_WAKEUP));
    if sent.is_err() {
        scratch.lost += 1;
    }
}

/// Copies the beginning of a frame, at most so many bytes, to a place among the images. Returns how many.
#[inline(always)]
fn image<C: Context>(
    packet: &Frame<C>,
    most: u32,
    images: &mut [u8; 2 * MAX_IMAGE],
    place: usize,
) -> usize {
    let length = packet.length();
    let most = most as usize & (MAX_IMAGE - 1);
    let length = if length < most { length } else { most };
    // The verifier of 6.1 learns nothing from a comparison with zero: it is to see that one is added.
    let last = verifier::hidden(verifier::hidden(length).wrapping_sub(1));
    if last >= MAX_IMAGE - 1 {
        return 0;
    }
    let place = verifier::hidden(place) & (MAX_IMAGE - 1);
    // SAFETY: below the length of the images, both together.
    let to = unsafe { images.as_mut_ptr().add(place) };
    if packet.context.load(to.cast(), last as u32 + 1) {
        last + 1
    } else {
        0
    }
}
