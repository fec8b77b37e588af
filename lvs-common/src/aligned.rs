//! Alignment of values on the stack.

/// A value on the stack where words may be stored whole: a BPF program's stack has to be accessed
/// aligned.
#[repr(C, align(8))]
pub(crate) struct Aligned<T>(pub(crate) T);
