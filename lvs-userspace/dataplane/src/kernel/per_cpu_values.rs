//! Values that the program keeps per CPU, read many at a time (`BPF_MAP_LOOKUP_BATCH`).
//!
//! aya reads one value by one system call, and asks each time for the number of CPUs, which is in a file.

use std::io;
use std::iter::Peekable;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::MapData;
use aya::util::nr_cpus;
use tracing::debug;
use zerocopy::FromZeros;

use super::error::KernelError;
use super::mapping::Plain;
use super::system_call::bpf;

/// Bytes that are read at once at most.
const BUFFER: usize = 256 << 10;
/// From one wanted value to the next at most: those between them cost less than another system call.
const GAP: u32 = 16;

/// The values of a per-CPU array.
pub(super) struct PerCpuValues<T> {
    map: MapData,
    len: u32,
    cpus: usize,
    values: PhantomData<T>,
}

impl<T: Plain + FromZeros> PerCpuValues<T> {
    pub(super) fn new(map: MapData, name: &str) -> Result<Self, KernelError> {
        const { assert!(size_of::<T>().is_multiple_of(8), "the kernel rounds up") };
        let info = map
            .info()
            .map_err(KernelError::map("cannot ask about", name))?;
        let size = info.value_size() as usize;
        if size != size_of::<T>() {
            return Err(KernelError::Differs {
                path: name.into(),
                difference: format!("values of {size} bytes"),
            });
        }
        let cpus = nr_cpus().map_err(|(file, source)| KernelError::File {
            what: "cannot read",
            path: file.into(),
            source,
        })?;
        Ok(Self {
            len: info.max_entries(),
            map,
            cpus,
            values: PhantomData,
        })
    }

    /// Hands on the values of all CPUs at these indexes, one after the other; fastest in their order. Nothing of
    /// those past the end.
    pub(super) fn read(
        &self,
        indexes: impl IntoIterator<Item = u32>,
        mut take: impl FnMut(u32, &[T]),
    ) {
        let most = u32::try_from(BUFFER / (size_of::<T>() * self.cpus)).unwrap_or(u32::MAX);
        let mut indexes = indexes
            .into_iter()
            .filter(|&index| index < self.len)
            .peekable();
        let (mut run, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        while next_run(&mut indexes, most, &mut run) {
            let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
                return;
            };
            if let Err(error) = self.read_range(first, last, &mut keys, &mut values) {
                debug!("cannot read what the program counted: {error}");
                continue;
            }
            for &index in &run {
                let start = (index - first) as usize * self.cpus;
                if let Some(values) = values.get(start..start + self.cpus) {
                    take(index, values);
                }
            }
        }
    }

    /// The values of all CPUs at an index; none past the end.
    pub(super) fn at(&self, index: u32) -> Vec<T> {
        let mut found = Vec::new();
        self.read([index], |_, values| found = values.to_vec());
        found
    }

    /// Reads the values from `first` to `last`, those of each index side by side.
    fn read_range(
        &self,
        first: u32,
        last: u32,
        keys: &mut Vec<u32>,
        values: &mut Vec<T>,
    ) -> io::Result<()> {
        const MAP_LOOKUP_BATCH: libc::c_long = 24;
        /// `union bpf_attr` of `BPF_MAP_LOOKUP_BATCH`.
        #[repr(C)]
        struct Batch {
            after: u64,
            last: u64,
            keys: u64,
            values: u64,
            count: u32,
            map: u32,
            element_flags: u64,
            flags: u64,
        }
        let count = last - first + 1;
        keys.resize(keys.len().max(count as usize), 0);
        values.resize_with(count as usize * self.cpus, T::new_zeroed);
        let before = first.wrapping_sub(1);
        let mut end = 0_u32;
        let mut batch = Batch {
            after: if first == 0 {
                0
            } else {
                std::ptr::from_ref(&before) as u64
            },
            last: std::ptr::from_mut(&mut end) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count,
            map: self.map.fd().as_fd().as_raw_fd().unsigned_abs(),
            element_flags: 0,
            flags: 0,
        };
        bpf(MAP_LOOKUP_BATCH, &mut batch)?;
        values.truncate(batch.count as usize * self.cpus);
        Ok(())
    }
}

/// Puts the next indexes into `run` that are read at once: so many values at most, with those between them that nobody
/// wants. False: there are no more.
fn next_run(
    indexes: &mut Peekable<impl Iterator<Item = u32>>,
    most: u32,
    run: &mut Vec<u32>,
) -> bool {
    run.clear();
    let Some(first) = indexes.next() else {
        return false;
    };
    let mut last = first;
    run.push(first);
    let fits =
        |last: u32, next: u32| next > last && next - last <= GAP && next - first < most.max(1);
    while let Some(next) = indexes.next_if(|&next| fits(last, next)) {
        run.push(next);
        last = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(indexes: impl IntoIterator<Item = u32>, most: u32) -> Vec<Vec<u32>> {
        let mut indexes = indexes.into_iter().peekable();
        let (mut run, mut runs) = (Vec::new(), Vec::new());
        while next_run(&mut indexes, most, &mut run) {
            runs.push(run.clone());
        }
        runs
    }

    #[test]
    fn indexes_side_by_side_are_read_at_once() {
        assert_eq!(runs([], 8), [[0; 0]; 0]);
        assert_eq!(
            runs(0..10, 4),
            [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]
        );
        assert_eq!(
            runs([3, 5, 5 + GAP, 6 + 2 * GAP], 100),
            [vec![3, 5, 5 + GAP], vec![6 + 2 * GAP]]
        );
        // Each is read, in whatever order they come, and where one value is more than the room.
        assert_eq!(runs([7, 7, 2, u32::MAX], 0), [[7], [7], [2], [u32::MAX]]);
    }
}
