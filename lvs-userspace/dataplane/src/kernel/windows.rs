//! A large memory-mapped BPF array, piece by piece: the kernel counts every mapped page as memory of this process, used
//! or not, so a piece is mapped while somebody needs it. Every second, those are taken away that nobody used: by who
//! looks through all of the array, as the sweep does, or by [`Windows::rest`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aya::maps::MapData;
use parking_lot::{Mutex, RwLock};
use tracing::error;

use super::error::KernelError;
use super::mapping::{Mapping, Plain};

/// Values of a window: a power of two, so that windows begin with pages.
const SIZE: u32 = 1 << 13;
/// Time between two complaints.
const QUIET: Duration = Duration::from_secs(1);

/// The values of a BPF array made with `BPF_F_MMAPABLE`, numbered through as in [`Mapping`].
pub struct Windows<T> {
    /// None: all windows are memory of this process, and stay.
    map: Option<(MapData, String)>,
    parts: Vec<Window<T>>,
    len: u32,
    /// Time of the last complaint that the kernel does not map a window.
    complained: Mutex<Option<Instant>>,
}

struct Window<T> {
    mapped: RwLock<Option<Arc<Mapping<T>>>>,
    /// Somebody needed it since it was looked through.
    used: AtomicBool,
}

impl<T> Window<T> {
    const fn of(mapped: Option<Arc<Mapping<T>>>) -> Self {
        Self {
            mapped: RwLock::new(mapped),
            used: AtomicBool::new(false),
        }
    }
}

impl<T: Plain> Windows<T> {
    /// Those of an array whose values are `T`, or several of them. That it can be mapped is tried.
    pub(super) fn of(map: MapData, name: &str) -> Result<Self, KernelError> {
        let len = Mapping::<T>::length(&map, name)?;
        let count = len.div_ceil(SIZE);
        drop(Mapping::<T>::part(&map, name, 0..len.min(SIZE))?);
        Ok(Self {
            map: Some((map, name.to_owned())),
            parts: (0..count).map(|_| Window::of(None)).collect(),
            len,
            complained: Mutex::default(),
        })
    }

    /// As many zeroed values in memory of this process alone.
    ///
    /// # Panics
    ///
    /// Panics if the kernel has no memory to map.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn zeroed(len: u32) -> Self {
        let windows = (0..len).step_by(SIZE as usize).map(|first| {
            let mapping = Mapping::zeroed(SIZE.min(len - first));
            Window::of(Some(Arc::new(mapping)))
        });
        Self {
            map: None,
            parts: windows.collect(),
            len,
            complained: Mutex::default(),
        }
    }

    /// Number of values.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// True if there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does something with the window that has a value, and the number that it has there; `None` past the end, or if
    /// the kernel does not map it.
    pub(super) fn with<R>(
        &self,
        index: u32,
        work: impl FnOnce(&Mapping<T>, u32) -> R,
    ) -> Option<R> {
        let window = self.parts.get((index / SIZE) as usize)?;
        // A store would have the cache line for itself each time.
        if !window.used.load(Ordering::Relaxed) {
            window.used.store(true, Ordering::Relaxed);
        }
        self.glance(index, work)
    }

    /// The same, of whoever looks at one value after the other and needs hardly any: the window may be gone soon.
    pub(super) fn glance<R>(
        &self,
        index: u32,
        work: impl FnOnce(&Mapping<T>, u32) -> R,
    ) -> Option<R> {
        let window = self.parts.get((index / SIZE) as usize)?;
        {
            let mapped = window.mapped.read();
            if let Some(mapping) = mapped.as_deref() {
                return Some(work(mapping, index % SIZE));
            }
        }
        let mapping = self.map(index / SIZE)?;
        Some(work(&mapping, index % SIZE))
    }

    /// Looks through all values in their order, window by window.
    pub(super) fn look_through(&self, mut look: impl FnMut(u32, &Mapping<T>)) {
        for (number, window) in (0..).zip(&self.parts) {
            let used = window.used.swap(false, Ordering::Relaxed);
            if let Some(mapping) = self.map(number) {
                look(number * SIZE, &mapping);
            }
            if !used && self.map.is_some() {
                *window.mapped.write() = None;
            }
            // What `look` used it does not need any more.
            window.used.store(false, Ordering::Relaxed);
        }
    }

    /// A copy of a value; `None` past the end, or if the kernel does not map it.
    pub fn read(&self, index: u32) -> Option<T> {
        self.with(index, Mapping::read).flatten()
    }

    /// Replaces a value. False: there is none, or the kernel does not map it.
    #[must_use]
    pub fn write(&self, index: u32, value: T) -> bool {
        let written = self.with(index, |part, place| part.write(place, value));
        written.is_some()
    }

    /// Takes the windows away that nobody used since the last time.
    pub fn rest(&self) {
        let rests = |window: &&Window<T>| !window.used.swap(false, Ordering::Relaxed);
        for window in self
            .parts
            .iter()
            .filter(|_| self.map.is_some())
            .filter(rests)
        {
            *window.mapped.write() = None;
        }
    }

    /// Maps a window, if it is not mapped.
    fn map(&self, number: u32) -> Option<Arc<Mapping<T>>> {
        let mut mapped = self.parts.get(number as usize)?.mapped.write();
        if let Some(mapping) = &*mapped {
            return Some(Arc::clone(mapping));
        }
        let (map, name) = self.map.as_ref()?;
        let first = number * SIZE;
        let part = first..first.saturating_add(SIZE).min(self.len);
        match Mapping::part(map, name, part) {
            Ok(mapping) => Some(Arc::clone(mapped.insert(Arc::new(mapping)))),
            Err(error) => {
                drop(mapped);
                if self.complains(Instant::now()) {
                    error!("{error}");
                }
                None
            }
        }
    }

    /// Returns whether it is time to complain: each access to a window fails that cannot be mapped.
    fn complains(&self, now: Instant) -> bool {
        let mut complained = self.complained.lock();
        let due = complained.is_none_or(|last| now >= last + QUIET);
        if due {
            *complained = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_not_mapped_is_told_of_once_a_second() {
        let windows = Windows::<u16>::zeroed(1);
        let now = Instant::now();
        let complains = |millis| windows.complains(now + Duration::from_millis(millis));
        assert!(complains(0));
        assert!(!complains(999));
        assert!(complains(1_000));
        assert!(!complains(1_001));
    }

    #[test]
    fn what_is_not_written_is_said() {
        let windows = Windows::<u16>::zeroed(2);
        assert!(windows.write(1, 7));
        assert!(!windows.write(SIZE, 7));
    }
}
