//! The programs of the stages, and the array through which the director's program calls them.
//!
//! The kernel empties an array of programs once no process and no pin refers to it, while programs that call
//! through it may still run: each is pinned as long as a program of its version is attached. Every loaded
//! program has an array of its own, so that at an update neither version ever calls the other's stages.

use std::borrow::BorrowMut;

use aya::Ebpf;
use aya::maps::{Map, MapData, ProgramArray};
use aya::programs::{Program, ProgramFd};
use lvs_common::abi::{
    CALL_SCRATCH, PACKET_RECORDS, PROGRAM, PROGRAM_LOG, PROGRAM_NOTE, STAGE_PROGRAMS,
    TC_L3_PROGRAM, TC_PROGRAM, TC_STAGE_PROGRAMS, TC_STAGES, TRACE_FILTER, TRACE_SCRATCH,
    WORKSPACE, XDP_STAGES,
};

use super::bpffs::Directory;
use super::error::{KernelError, program_error};

/// The hook at which packets enter the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WayIn {
    /// In an interface's driver.
    Xdp,
    /// Behind it.
    Tc,
}

impl WayIn {
    /// The array of the stages, and what it holds.
    const fn stages(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::Xdp => (XDP_STAGES, STAGE_PROGRAMS),
            Self::Tc => (TC_STAGES, TC_STAGE_PROGRAMS),
        }
    }

    /// Returns whether a program handles packets, whichever way they enter.
    pub(super) fn handles_packets(program: &str) -> bool {
        [Self::Xdp, Self::Tc]
            .iter()
            .any(|way| way.has_program(program))
    }

    /// Returns whether a program is the one that packets meet first, or one of the stages.
    pub(super) fn has_program(self, name: &str) -> bool {
        let first: &[&str] = match self {
            Self::Xdp => &[PROGRAM],
            Self::Tc => &[TC_PROGRAM, TC_L3_PROGRAM],
        };
        first.contains(&name) || self.stages().1.contains(&name)
    }
}

/// Prefix of the names of pinned arrays; the rest is the map's id.
const PIN: &str = "stages-";

/// Maps of those who trace: there is nothing in them to be kept.
const TRACE_MAPS: [&str; 3] = [PACKET_RECORDS, TRACE_FILTER, TRACE_SCRATCH];

/// Maps of the program's own log, likewise.
const LOG_MAPS: [&str; 2] = [PROGRAM_NOTE, PROGRAM_LOG];

/// Returns whether a map of the object belongs to one loaded program, not to the data path.
pub(super) fn is_private(map: &str) -> bool {
    let private = [
        &[XDP_STAGES, TC_STAGES, CALL_SCRATCH, WORKSPACE],
        &TRACE_MAPS[..],
        &LOG_MAPS,
    ];
    private.iter().any(|maps| maps.contains(&map))
}

/// The filled arrays of a loaded object.
#[derive(Default)]
pub(super) struct StagePrograms {
    /// Names of their pins.
    pins: Vec<String>,
    filled: Vec<WayIn>,
}

impl StagePrograms {
    /// Returns whether programs that are loaded call their stages.
    pub(super) fn are_filled(&self, way: WayIn) -> bool {
        self.filled.contains(&way)
    }

    /// Fills an array of an object with its loaded programs and pins it in the folder.
    pub(super) fn fill(
        &mut self,
        way: WayIn,
        ebpf: &mut Ebpf,
        directory: &Directory,
    ) -> Result<(), KernelError> {
        let (name, programs) = way.stages();
        let [first, second] = programs;
        let stages = [descriptor(ebpf, first)?, descriptor(ebpf, second)?];
        let map = ebpf.map_mut(name).ok_or(KernelError::Missing(name))?;
        let mut array =
            ProgramArray::try_from(&mut *map).map_err(KernelError::map("cannot use", name))?;
        fill(&mut array, name, &stages)?;
        self.pins.push(pin(map, name, directory)?);
        self.filled.push(way);
        Ok(())
    }

    /// Removes the arrays of programs that are attached nowhere any more: of all others.
    pub(super) fn remove_others(&self, directory: &Directory) -> Result<(), KernelError> {
        for name in directory.pins()? {
            if name.starts_with(PIN) && !self.pins.contains(&name) {
                directory.unpin(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the arrays: the programs are attached nowhere any more.
    pub(super) fn remove(self, directory: &Directory) -> Result<(), KernelError> {
        self.pins.iter().try_for_each(|name| directory.unpin(name))
    }
}

/// Has the programs of another object call the stages of a loaded one, until the array is dropped that is returned.
pub(super) fn lend(from: &Ebpf, to: &mut Ebpf) -> Result<ProgramArray<MapData>, KernelError> {
    let map = to
        .take_map(XDP_STAGES)
        .ok_or(KernelError::Missing(XDP_STAGES))?;
    let mut array =
        ProgramArray::try_from(map).map_err(KernelError::map("cannot use", XDP_STAGES))?;
    let [first, second] = STAGE_PROGRAMS;
    let stages = [descriptor(from, first)?, descriptor(from, second)?];
    fill(&mut array, XDP_STAGES, &stages)?;
    Ok(array)
}

fn fill<M: BorrowMut<MapData>>(
    array: &mut ProgramArray<M>,
    name: &'static str,
    stages: &[ProgramFd; 2],
) -> Result<(), KernelError> {
    for (index, stage) in (0..).zip(stages) {
        array
            .set(index, stage, 0)
            .map_err(KernelError::map("cannot fill", name))?;
    }
    Ok(())
}

/// A descriptor of a loaded program, of its own.
fn descriptor(ebpf: &Ebpf, name: &'static str) -> Result<ProgramFd, KernelError> {
    let program = ebpf.program(name).ok_or(KernelError::Missing(name))?;
    let found = match program {
        Program::Xdp(program) => program.fd(),
        Program::SchedClassifier(program) => program.fd(),
        _ => return Err(KernelError::Missing("program of that kind")),
    };
    let found = found.map_err(program_error("cannot use"))?;
    found
        .try_clone()
        .map_err(KernelError::file("cannot open the program", name))
}

/// Pins an array by its id, and returns the pin's name.
fn pin(map: &Map, name: &'static str, directory: &Directory) -> Result<String, KernelError> {
    let Map::ProgramArray(array) = map else {
        return Err(KernelError::Missing(name));
    };
    let info = array.info().map_err(KernelError::map("cannot use", name))?;
    let pinned = format!("{PIN}{}", info.id());
    let path = directory.pin(&pinned);
    match array.pin(&path) {
        Ok(()) => Ok(pinned),
        Err(error) => Err(KernelError::Pin {
            what: "cannot pin",
            path,
            source: Box::new(error),
        }),
    }
}
