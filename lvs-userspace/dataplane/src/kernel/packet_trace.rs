//! The programs that record packets: the same object once more, with the constant that turns its records on.

use aya::maps::{MapData, PerCpuArray, RingBuf};
use lvs_common::abi::{
    PACKET_RECORDS, PacketRecord, TRACE_FILTER, TRACE_SCRATCH, TraceFilter, TraceScratch,
};
use tracing::info;
use zerocopy::FromBytes as _;

use super::error::KernelError;
use super::grace_period::wait_for_readers;
use super::load::{DataPath, make_tracing};
use super::mapping::Mapping;
use super::maps::{map, mapping};
use super::packet_programs::PacketPrograms;
use super::program_log::{ProgramLine, ProgramLog};
use super::wire::Wire;

/// A packet that was recorded, with the images of its frame.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The record.
    pub record: PacketRecord,
    /// The beginning of the frame as it came.
    pub came: Vec<u8>,
    /// The beginning of the frame as it left; empty: it did not.
    pub left: Vec<u8>,
}

/// The records of packets, while the programs make some.
pub struct PacketRecords {
    ring: RingBuf<MapData>,
    filter: Mapping<TraceFilter>,
    scratch: PerCpuArray<MapData, Wire<TraceScratch>>,
}

impl PacketRecords {
    /// Has the programs record these packets from now on.
    pub fn set_filter(&self, filter: TraceFilter) {
        self.filter.write(0, filter);
    }

    /// Removes the records there are, at most so many.
    pub fn drain(&mut self, most: usize) -> Vec<Recorded> {
        let mut all = Vec::new();
        while all.len() < most
            && let Some(item) = self.ring.next()
        {
            all.extend(recorded(&item));
        }
        all
    }

    /// Records that did not fit into the ring buffer so far.
    pub fn lost(&self) -> u64 {
        let values = self.scratch.get(&0, 0);
        values.map_or(0, |values| values.iter().map(|Wire(cpu)| cpu.lost).sum())
    }
}

fn recorded(bytes: &[u8]) -> Option<Recorded> {
    let (record, images) = PacketRecord::read_from_prefix(bytes).ok()?;
    let (came, rest) = images.split_at_checked(usize::from(record.came))?;
    let left = rest.get(..usize::from(record.left))?;
    Some(Recorded {
        record,
        came: came.to_vec(),
        left: left.to_vec(),
    })
}

impl DataPath {
    /// From now on whoever attaches programs attaches those that record packets. Nothing is recorded before the filter
    /// is set.
    pub fn begin_tracing(&mut self) -> Result<PacketRecords, KernelError> {
        let ebpf = make_tracing(self)?;
        let ring = RingBuf::try_from(map(&ebpf, PACKET_RECORDS)?)
            .map_err(KernelError::map("cannot use", PACKET_RECORDS))?;
        let filter = mapping(&ebpf, TRACE_FILTER)?;
        let scratch = PerCpuArray::try_from(map(&ebpf, TRACE_SCRATCH)?)
            .map_err(KernelError::map("cannot use", TRACE_SCRATCH))?;
        self.tracing = Some(PacketPrograms::new(ebpf, self.log)?);
        info!("packets are recorded for those who trace");
        Ok(PacketRecords {
            ring,
            filter,
            scratch,
        })
    }

    /// The lines that the programs logged since the last time.
    pub fn read_log(&mut self) -> Vec<ProgramLine> {
        let programs = [Some(&mut self.programs), self.tracing.as_mut()];
        let logs = programs.into_iter().flatten();
        logs.filter_map(|programs| programs.log.as_mut())
            .flat_map(ProgramLog::read)
            .collect()
    }

    /// From now on whoever attaches programs attaches those that record nothing. Those that do are returned, for
    /// [`DataPath::unload_tracing`].
    pub fn leave_tracing(&mut self) -> Option<PacketPrograms> {
        self.tracing.take()
    }

    /// Unloads the programs that record packets, which are attached nowhere any more.
    pub fn unload_tracing(&self, tracing: PacketPrograms) -> Result<(), KernelError> {
        // One that runs may be about to call its stages.
        wait_for_readers();
        info!("packets are recorded no more");
        tracing.stages.remove(&self.directory)
    }
}
