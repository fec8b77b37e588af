//! Atomic instructions of BPF (`-Ctarget-cpu=v3`). The target has no compare-and-exchange among
//! `core`'s atomics yet, so each is one line of assembly. All of them but [`add`] are full barriers.

use core::arch::asm;

/// Replaces a word if it is the expected one; says whether it did.
///
/// # Safety
///
/// `word` points to four aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn compare_exchange(word: *mut u32, expected: u32, new: u32) -> bool {
    let found: u32;
    // SAFETY: the caller's promise; the verifier checks the same once more.
    unsafe {
        asm!(
            "w0 = cmpxchg32_32({word} + 0, w0, {new})",
            word = in(reg) word,
            new = in(wreg) new,
            inout("w0") expected => found,
        );
    }
    found == expected
}

/// Replaces a double word if it is the expected one; says whether it did.
///
/// # Safety
///
/// `word` points to eight aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn compare_exchange_double(word: *mut u64, expected: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: the caller's promise; the verifier checks the same once more.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") expected => found,
        );
    }
    found == expected
}

/// Stores a word.
///
/// # Safety
///
/// `word` points to four aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn exchange(word: *mut u32, new: u32) -> u32 {
    let mut value = new;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "{value} = xchg32_32({word} + 0, {value})",
            word = in(reg) word,
            value = inout(wreg) value,
        );
    }
    value
}

/// Adds to a word and returns what it was.
///
/// # Safety
///
/// `word` points to four aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn fetch_add(word: *mut u32, amount: u32) -> u32 {
    let mut value = amount;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u32 *)({word} + 0), {value})",
            word = in(reg) word,
            value = inout(wreg) value,
        );
    }
    value
}

/// Adds to a double word.
///
/// # Safety
///
/// `word` points to eight aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn add(word: *mut u64, amount: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "lock *(u64 *)({word} + 0) += {amount}",
            word = in(reg) word,
            amount = in(reg) amount,
        );
    }
}

/// Sets bits of a word and returns what it was.
///
/// # Safety
///
/// `word` points to four aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn fetch_or(word: *mut u32, bits: u32) -> u32 {
    let mut value = bits;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "{value} = atomic_fetch_or((u32 *)({word} + 0), {value})",
            word = in(reg) word,
            value = inout(wreg) value,
        );
    }
    value
}

/// Adds to a double word; unlike [`add`] a full barrier on every machine.
///
/// # Safety
///
/// `word` points to eight aligned bytes of a map value.
#[inline(always)]
pub(crate) unsafe fn fetch_add_double(word: *mut u64, amount: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "{amount} = atomic_fetch_add((u64 *)({word} + 0), {amount})",
            word = in(reg) word,
            amount = inout(reg) amount => _,
        );
    }
}
