//! Persistence by Call-ID (IPVS's engine `sip`): the messages of one call go to one real server. The same Call-ID from
//! another client, or with a mask from another network, is another call (`ip_vs_sip_ct_match`).
//!
//! The template of a call is an entry like a client's, see [`super::persistence`], but for its key. What nobody but
//! listings and other directors need, its Call-ID, lies in a map beside the table, and so does which call a connection
//! is of: that keeps the template for as long as the connection. Both maps forget what was not used for longest.

use super::stage::Stage;
use super::work::Work;
use crate::abi::{CallNumber, CallScratch, ticks};
use crate::connection::table::{self, Place, Store};
use crate::connection::template::{call_template, network};
use crate::connection::{EntryId, Protocol};
use crate::network::Network;
use crate::packet::{MAX_OFFSET, Packet};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::walk::Step;

/// Bytes of a UDP header.
const UDP: usize = 8;
/// Turns of the walk over a message, most of which take eight bytes: more than any message needs, and a bound for what
/// one costs that was made to cost much.
const TURNS: usize = 1_024;

/// Lays out the key of the template of a message's call. A datagram without a Call-ID is dropped, as IPVS drops it; of
/// one in fragments the first has to have it.
#[inline(never)]
pub(super) fn call_id<F: Network, P: Packet, T: Tables + Store<F>>(
    packet: &mut P,
    tables: T,
    work: &mut Work<F>,
) -> Stage {
    let end = work.forward.datagram.end.min(MAX_OFFSET + 1);
    if P::BUFFER {
        // What is not there is found missing below.
        let _ = packet.pull(end);
    }
    let prefix = tables.plan(work.service).map_or(0, |plan| plan.prefix);
    let number = if work.forward.protocol == Some(Protocol::Udp) {
        read(packet, tables, work, prefix, end)
    } else {
        None
    };
    // The verifier forgets what a pointer that went through the walk points to: ask for it again.
    let (Some(number), Some(plan)) = (number, tables.plan(work.service)) else {
        return work.end(Verdict::drop(Reason::NoCallId));
    };
    work.new.key = call_template(number, &plan.key);
    work.new.timeout = ticks(plan.persistence);
    Stage::Persistent
}

/// Reads the message up to its Call-ID.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "offsets are small")]
fn read<F: Network, P: Packet, T: Tables>(
    packet: &P,
    tables: T,
    work: &Work<F>,
    prefix: u8,
    end: usize,
) -> Option<CallNumber> {
    let start = work.forward.datagram.transport + UDP;
    let client = F::widen(network::<F>(work.forward.datagram.source, prefix));
    tables.with_call(|scratch| {
        scratch.restart();
        scratch.call.client = client;
    })?;
    tables.walk(
        end.min(TURNS) as u32,
        &mut Reading {
            packet,
            tables,
            start: start as u32,
            end: end as u32,
        },
    );
    let blocks = tables.with_call(|scratch| {
        scratch.begin_hash(tables);
        if scratch.call.message.is_complete() {
            scratch.blocks()
        } else {
            0
        }
    })?;
    tables.walk(blocks, &mut Hashing { tables });
    let number = tables.with_call(CallScratch::end_hash)?;
    (blocks != 0).then_some(number)
}

/// The walk over a message: a word or byte each turn.
#[repr(C, align(8))]
struct Reading<'a, P, T> {
    packet: &'a P,
    tables: T,
    start: u32,
    end: u32,
}

impl<P: Packet, T: Tables> Step for Reading<'_, P, T> {
    #[inline(always)]
    fn step(&mut self, _index: u32) -> bool {
        let (packet, start, end) = (self.packet, self.start, self.end);
        self.tables
            .with_call(|scratch| {
                let place = start.wrapping_add(scratch.position);
                if place >= end {
                    return false;
                }
                let message = &mut scratch.call.message;
                if place.wrapping_add(8) <= end
                    && let Some(word) = packet.header::<[u8; 8]>(place as usize)
                    && message.skips(u64::from_ne_bytes(*word))
                {
                    scratch.position = scratch.position.wrapping_add(8);
                    return true;
                }
                scratch.position = scratch.position.wrapping_add(1);
                // With the byte before it: see `Header`.
                let Some([_, byte]) = packet.header::<[u8; 2]>((place as usize).wrapping_sub(1))
                else {
                    return false;
                };
                message.read(*byte)
            })
            .unwrap_or(false)
    }
}

/// The walk over the words of a Call-ID.
#[repr(C, align(8))]
struct Hashing<T> {
    tables: T,
}

impl<T: Tables> Step for Hashing<T> {
    #[inline(always)]
    fn step(&mut self, index: u32) -> bool {
        self.tables
            .with_call(|scratch| scratch.hash_block(index))
            .is_some()
    }
}

/// Keeps the Call-ID of the packet's call, whose template is in the table.
#[inline(never)]
pub(super) fn remember<T: Tables>(tables: T) {
    tables.with_call(|scratch| {
        // To be looked for keeps it from being forgotten.
        if !tables.is_call_known(scratch.number) {
            tables.remember_call(scratch.number, &scratch.call);
        }
    });
}

/// Notes which call the packet's connection is of, which was just inserted.
#[inline(never)]
pub(super) fn remember_connection<F: Network, T: Tables + Store<F>>(tables: T, work: &Work<F>) {
    let place = Place::of(work.forward.hash, Store::<F>::sets(tables));
    if let Some(slot) = table::find::<F, T>(tables, &work.key, place)
        && let Some(call) = tables.with_call(|scratch| scratch.number)
    {
        tables.remember_call_of(EntryId::new::<F>(slot.number), call);
    }
}
