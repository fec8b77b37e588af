//! The program in an interface's driver.

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, Xdp};
use lvs_common::abi::PROGRAM;
use tracing::info;

use crate::kernel::bpffs::XDP_LINK;
use crate::kernel::error::{KernelError, program_error};
use crate::kernel::load::DataPath;
use crate::kernel::mode::Mode;
use crate::kernel::pinned_link::{attach_error, linked_interface, pin_link, pin_name};

impl DataPath {
    /// Loads the program before an interface needs it.
    pub fn load_xdp(&mut self) -> Result<(), KernelError> {
        self.programs.xdp(&self.directory).map(drop)
    }

    /// The loaded program, to run it without an interface.
    pub fn loaded(&self) -> Result<&Xdp, KernelError> {
        let program = self.programs.ebpf.program(PROGRAM);
        let program = program.ok_or(KernelError::Missing(PROGRAM))?;
        program.try_into().map_err(program_error("cannot use"))
    }

    pub(super) fn attach_xdp(&mut self, interface: &str, index: u32) -> Result<(), KernelError> {
        let name = pin_name(XDP_LINK, interface);
        let pin = self.directory.pin(&name);
        // The interface may have been deleted, or renamed, since the link was made.
        let adoptable = pin.exists() && linked_interface(&pin).is_ok_and(|linked| linked == index);
        let adopted = adoptable.then(|| PinnedLink::from_pin(&pin).ok()).flatten();
        let adopted = adopted.and_then(|link| XdpLink::try_from(FdLink::from(link)).ok());
        let program = self.program()?;
        if let Some(link) = adopted
            && let Ok(link) = program.attach_to_link(link)
        {
            // The pin alone is to hold it: else the program would stay attached when that goes.
            drop(program.take_link(link));
            info!("replaced the program on {interface}");
            return Ok(());
        }
        self.directory.detach(&name)?;
        let program = self.program()?;
        let link = program
            .attach_to_if_index(index, XdpMode::Driver)
            .and_then(|link| program.take_link(link));
        let link = match link {
            Err(error) if is_busy(&error) => {
                return Err(KernelError::Busy {
                    interface: interface.to_owned(),
                });
            }
            link => link.map_err(|source| attach_error(interface, source))?,
        };
        pin_link(link, &pin)?;
        info!("attached to {interface}, in its driver");
        Ok(())
    }

    pub(super) fn detach_xdp(&mut self, interface: &str) -> Result<(), KernelError> {
        self.directory.detach(&pin_name(XDP_LINK, interface))
    }

    /// True if a program that an earlier version attached runs in generic mode.
    pub(super) fn runs_generic(&self, interface: &str, index: u32) -> bool {
        let pin = self.directory.pin(&pin_name(XDP_LINK, interface));
        pin.exists() && Mode::of(index) == Mode::Generic
    }

    fn program(&mut self) -> Result<&mut Xdp, KernelError> {
        let programs = self.tracing.as_mut().unwrap_or(&mut self.programs);
        programs.xdp(&self.directory)
    }
}

fn is_busy(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(
        error.io_error.raw_os_error(),
        Some(libc::EBUSY | libc::EEXIST)
    )
}
