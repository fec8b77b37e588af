//! The programs' own log, by aya-log. With the level 0 the verifier removes all of it from a loaded object.

use aya_log_ebpf::macro_support::{AYA_LOG_LEVEL, Level};
use lvs_common::abi::ProgramNote;
use lvs_common::diagnosis::{Finding, level};
use lvs_common::verdict::{Reason, Verdict};

use crate::{clock, maps, verifier};

/// The last level of lines that others leave room to.
const URGENT: u8 = Level::Warn as u8;

/// Returns whether anything is logged. The verifier knows, and leaves out what is not done.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    AYA_LOG_LEVEL.load() != 0
}

/// This CPU's note about the packet at hand.
#[inline(always)]
fn note<'a>() -> Option<&'a mut ProgramNote> {
    let note = maps::program_note.get_ptr_mut(0)?;
    // SAFETY: this CPU's own element, and the program is not interrupted by itself.
    Some(unsafe { &mut *note })
}

/// Notes a finding about the packet at hand; the last one is logged.
#[inline(always)]
pub(crate) fn found(finding: Finding, number: u32) {
    if is_on() {
        keep(finding as u32, number);
    }
}

/// A function of its own: where nothing is logged only the question is left.
#[inline(never)]
fn keep(finding: u32, number: u32) {
    if let Some(note) = note() {
        note.finding = finding;
        note.number = number;
    }
}

/// Logs the line of a packet that was handled, if its level asks for one.
#[inline(always)]
pub(crate) fn ends(verdict: Verdict, interface: u32) {
    if is_on() {
        finish(verdict.to_bits(), interface);
    }
}

/// Logs a finding of a packet without a verdict.
#[inline(always)]
pub(crate) fn failed(finding: Finding, number: u32) {
    if is_on() {
        keep(finding as u32, number);
        finish(Verdict::drop(Reason::NotSent).to_bits(), 0);
    }
}

/// A function of its own: its variables take nothing from the stack of those who send a packet.
#[inline(never)]
fn finish(verdict: u64, interface: u32) {
    let Some(verdict) = Verdict::from_bits(verdict) else {
        return;
    };
    let Some(note) = note() else {
        return;
    };
    let (finding, number) = (note.finding, note.number);
    note.finding = 0;
    let level = level(finding, verdict) as u8;
    if level > AYA_LOG_LEVEL.load() || !note.spend(clock::now(), level <= URGENT) {
        return;
    }
    // One call for all levels: each is a program of its own size. The daemon knows the level by the same rule.
    let reason = verifier::hidden(verdict.counter() as usize) as u32;
    aya_log_ebpf::log!(&(), target: "", Level::Error, "{} {} {} {} {}", level, reason, finding, number, interface);
}
