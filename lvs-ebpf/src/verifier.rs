//! Hides values from the compiler where its optimisations would mislead the verifier.

use core::arch::asm;

/// The same value, about which the compiler knows nothing. It likes to move constants from one side of a
/// comparison to the other, or to leave out a mask that it proved to be needless; then the
/// register that is added to a pointer is not the one the verifier saw compared or masked.
#[inline(always)]
pub(crate) fn hidden(value: usize) -> usize {
    let mut hidden = value;
    // SAFETY: a jump to the next instruction, which the verifier removes; without any instruction two
    // entries of the line table would share one. The value stays what it is.
    unsafe { asm!("goto +0 /* {0} */", inout(reg) hidden, options(pure, nomem, nostack)) };
    hidden
}

/// Keeps the compiler from moving memory accesses across this point. Enough where the processor
/// keeps loads in order (x86); others need a barrier instruction.
#[inline(always)]
pub(crate) fn fence() {
    // SAFETY: as above. Without `nomem` it counts as touching all memory.
    unsafe { asm!("goto +0") }
}
