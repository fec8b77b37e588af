//! The program that sends the packets of probes on the service path.

use aya::programs::SchedClassifier;
use lvs_common::abi::PROBE_PROGRAM;

use super::attach::attach_for_now;
use super::error::{KernelError, program_error};
use super::load::DataPath;

impl DataPath {
    /// Attaches the program that sends the probes' packets by their routes to the interface they come from.
    /// It ends with the interface, or with this.
    pub fn send_probes(&mut self, interface: &str) -> Result<(), KernelError> {
        let program = self
            .programs
            .ebpf
            .program_mut(PROBE_PROGRAM)
            .ok_or(KernelError::Missing(PROBE_PROGRAM))?;
        let program: &mut SchedClassifier =
            program.try_into().map_err(program_error("cannot use"))?;
        attach_for_now(program, interface).map_err(|source| KernelError::Attach {
            interface: interface.to_owned(),
            source: Box::new(source),
        })?;
        Ok(())
    }
}
