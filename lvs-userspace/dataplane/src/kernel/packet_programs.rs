//! The programs that handle packets. Those of a way in are verified and loaded when they are first needed: few machines
//! need both ways, and the verifier takes a second for either.

use aya::Ebpf;
use aya::programs::{Program, SchedClassifier, Xdp};
use lvs_common::abi::{PROGRAM, TC_L3_PROGRAM, TC_PROGRAM};
use lvs_process::privileges;

use super::bpffs::Directory;
use super::error::{KernelError, program_error};
use super::load_programs::load_programs;
use super::program_log::ProgramLog;
use super::stage_programs::{StagePrograms, WayIn};

/// An object, and those of its programs that handle packets.
pub struct PacketPrograms {
    pub(super) ebpf: Ebpf,
    pub(super) stages: StagePrograms,
    pub(super) log: Option<ProgramLog>,
}

impl PacketPrograms {
    /// The programs of an object that was made with a log of this level.
    pub(super) fn new(mut ebpf: Ebpf, log: u8) -> Result<Self, KernelError> {
        Ok(Self {
            log: ProgramLog::of(&mut ebpf, log)?,
            ebpf,
            stages: StagePrograms::default(),
        })
    }

    /// The program in drivers, loaded now if it was not.
    pub(super) fn xdp(&mut self, directory: &Directory) -> Result<&mut Xdp, KernelError> {
        self.load(WayIn::Xdp, PROGRAM, directory)?
            .try_into()
            .map_err(program_error("cannot use"))
    }

    /// The program behind drivers, loaded now if it was not: that for packets with an `ethernet` header, or without.
    pub(super) fn tc(
        &mut self,
        ethernet: bool,
        directory: &Directory,
    ) -> Result<&mut SchedClassifier, KernelError> {
        let name = if ethernet { TC_PROGRAM } else { TC_L3_PROGRAM };
        self.load(WayIn::Tc, name, directory)?
            .try_into()
            .map_err(program_error("cannot use"))
    }

    fn load(
        &mut self,
        way: WayIn,
        name: &'static str,
        directory: &Directory,
    ) -> Result<&mut Program, KernelError> {
        if !self.stages.are_filled(way) {
            // One of them may be loaded, where another one was refused or the array could not be pinned.
            let wanted =
                |name: &str, program: &Program| way.has_program(name) && program.fd().is_err();
            privileges::loading(|| load_programs(&mut self.ebpf, wanted))?;
            self.stages.fill(way, &mut self.ebpf, directory)?;
        }
        self.ebpf
            .program_mut(name)
            .ok_or(KernelError::Missing(name))
    }
}
