//! A memory-mapped BPF array as a slice of values that others write to at the same time.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::error::KernelError;

/// Values that can be copied from and to memory shared with the BPF program.
///
/// # Safety
///
/// The type has no padding, and any bytes are a value of it.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: zerocopy's derives prove that `T` has no padding and that any bytes are a `T`.
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Plain for T {}

/// The values of a BPF array made with `BPF_F_MMAPABLE`.
///
/// A value of the array may hold several `T` (a set of the connection table holds eight); they
/// are numbered through. Reads and writes of whole values are volatile copies: the program may
/// change a value meanwhile, and whoever reads one that can change checks a word of it again.
pub struct Mapping<T> {
    base: NonNull<u8>,
    bytes: usize,
    stride: usize,
    per_value: usize,
    len: usize,
    values: PhantomData<T>,
}

// SAFETY: the memory is shared with the kernel anyway; all access is volatile or atomic, and it is
// unmapped only when the last owner is gone.
unsafe impl<T: Plain> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Mapping<T> {}

impl<T: Plain> Mapping<T> {
    /// Maps an array whose values are `T`, or several of them.
    pub(crate) fn of(map: &MapData, name: &str) -> Result<Self, KernelError> {
        let len = Layout::of::<T>(map, name)?.len;
        Self::part(map, name, 0..len)
    }

    /// Number of values of such an array.
    pub(super) fn length(map: &MapData, name: &str) -> Result<u32, KernelError> {
        Ok(Layout::of::<T>(map, name)?.len)
    }

    /// Maps a part of it, which begins with a page.
    pub(super) fn part(map: &MapData, name: &str, values: Range<u32>) -> Result<Self, KernelError> {
        const { assert!(align_of::<T>() <= 8, "values lie at multiples of 8 bytes") };
        let Layout {
            stride, per_value, ..
        } = Layout::of::<T>(map, name)?;
        let bytes_before = |values: u32| values as usize / per_value * stride;
        let first = bytes_before(values.start);
        // The kernel rounds the whole up to pages.
        let bytes = (bytes_before(values.end) - first).next_multiple_of(page_size());
        let wrong = || KernelError::Differs {
            path: name.into(),
            difference: "no entries, or none that begin with a page".to_owned(),
        };
        let length = NonZeroUsize::new(bytes).ok_or_else(wrong)?;
        let offset = i64::try_from(first)
            .ok()
            .filter(|_| first.is_multiple_of(page_size()))
            .ok_or_else(wrong)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                map.fd(),
                offset,
            )
        }
        .map_err(|source| KernelError::Mapping {
            name: name.to_owned(),
            source,
        })?;
        // Commands of health checks are started often: their short life as a copy of this process needs none of it. If
        // it is refused, a start takes longer.
        // SAFETY: the range was mapped just now; a child that inherits nothing of it does not touch it.
        let _ = unsafe { madvise(base, bytes, MmapAdvise::MADV_DONTFORK) };
        Ok(Self {
            base: base.cast(),
            bytes,
            stride,
            per_value,
            len: values.len(),
            values: PhantomData,
        })
    }

    /// As many zeroed values in memory of this process alone.
    ///
    /// # Panics
    ///
    /// Panics if the kernel has no memory to map.
    #[cfg(any(test, feature = "testing"))]
    pub fn zeroed(len: u32) -> Self {
        let stride = size_of::<T>();
        let len = len as usize;
        let bytes = NonZeroUsize::new((stride * len).next_multiple_of(page_size())).unwrap();
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            nix::sys::mman::mmap_anonymous(None, bytes, protection, MapFlags::MAP_PRIVATE)
        };
        let base = base.unwrap().cast();
        Self {
            base,
            bytes: bytes.get(),
            stride,
            per_value: 1,
            len,
            values: PhantomData,
        }
    }

    /// Number of values.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's arrays are at most 4 GiB"
    )]
    pub const fn len(&self) -> u32 {
        self.len as u32
    }

    /// True if there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Address of a value.
    fn place(&self, index: u32) -> Option<NonNull<T>> {
        let index = index as usize;
        if index >= self.len {
            return None;
        }
        let offset = if self.per_value == 1 {
            index * self.stride
        } else if self.stride == self.per_value * size_of::<T>() {
            index * size_of::<T>()
        } else {
            index / self.per_value * self.stride + index % self.per_value * size_of::<T>()
        };
        // SAFETY: the index was checked, so the offset lies within the mapping. Values lie at multiples
        // of 8 from a page's start, or of their size within one, so they are aligned.
        Some(unsafe { self.base.byte_add(offset).cast() })
    }

    /// A copy of a value; `None` past the end.
    pub fn read(&self, index: u32) -> Option<T> {
        let place = self.place(index)?;
        // SAFETY: the place lies in the mapping and any bytes are a `T`.
        Some(unsafe { place.read_volatile() })
    }

    /// Replaces a value. Past the end: nothing.
    pub fn write(&self, index: u32, value: T) {
        if let Some(place) = self.place(index) {
            // SAFETY: the place lies in the mapping, which is writable.
            unsafe { place.write_volatile(value) };
        }
    }

    /// Replaces the 32-bit words of a value that lie in a range of offsets in bytes, one by one. Past
    /// the end: nothing.
    pub fn write_words(&self, index: u32, value: &T, range: Range<usize>) {
        let words = std::ptr::from_ref(value).cast::<u32>();
        for offset in range.step_by(size_of::<u32>()) {
            if let Some(word) = self.word(index, offset) {
                // SAFETY: `word` made sure that the offset is a multiple of 4 and lies within a `T`, all of
                // whose bytes are initialised; an unaligned read asks for nothing else.
                let new = unsafe { words.byte_add(offset).read_unaligned() };
                word.store(new, Ordering::Relaxed);
            }
        }
    }

    /// A 32-bit word of a value, by its offset in bytes.
    pub fn word(&self, index: u32, offset: usize) -> Option<&AtomicU32> {
        let place = self.place(index)?;
        if !offset.is_multiple_of(4) || offset + 4 > size_of::<T>() {
            return None;
        }
        // SAFETY: within the mapping, aligned, and it lives as long as `self`.
        Some(unsafe { place.cast::<AtomicU32>().byte_add(offset).as_ref() })
    }

    /// A 64-bit word of a value, by its offset in bytes.
    pub fn double_word(&self, index: u32, offset: usize) -> Option<&AtomicU64> {
        let place = self.place(index)?;
        if !offset.is_multiple_of(8) || offset + 8 > size_of::<T>() {
            return None;
        }
        // SAFETY: within the mapping, aligned (only 8-byte values have such offsets), and it lives as
        // long as `self`.
        Some(unsafe { place.cast::<AtomicU64>().byte_add(offset).as_ref() })
    }
}

/// The layout of values of a type in an array.
struct Layout {
    /// From one value of the array to the next, in bytes.
    stride: usize,
    /// Values of the type in a value of the array.
    per_value: usize,
    /// Values of the type in the array.
    len: u32,
}

impl Layout {
    fn of<T>(map: &MapData, name: &str) -> Result<Self, KernelError> {
        let info = map
            .info()
            .map_err(KernelError::map("cannot ask about", name))?;
        let value = info.value_size() as usize;
        if value == 0 || !value.is_multiple_of(size_of::<T>()) {
            return Err(KernelError::Differs {
                path: name.into(),
                difference: format!("values of {value} bytes"),
            });
        }
        let per_value = value / size_of::<T>();
        let len = u32::try_from(per_value).unwrap_or(u32::MAX);
        Ok(Self {
            // The kernel rounds values up to 8 bytes.
            stride: value.next_multiple_of(8),
            per_value,
            // The kernel's arrays are at most 4 GiB.
            len: len.saturating_mul(info.max_entries()),
        })
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: made by `of` with this length; nobody can refer to it any more. An error would mean
        // that it was not mapped, and then there is nothing to do.
        let _ = unsafe { munmap(self.base.cast(), self.bytes) };
    }
}

pub(super) fn page_size() -> usize {
    // SAFETY: asks for a constant.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
