//! The program behind an interface's driver, on socket buffers: by a link (tcx, from Linux 6.6 on), before
//! that by a filter of the `clsact` queueing discipline.

use std::mem::ManuallyDrop;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use lvs_common::abi::{TC_L3_PROGRAM, TC_PROGRAM};
use tracing::{debug, info};

use crate::kernel::bpffs::{FILTER, TCX_LINK};
use crate::kernel::clsact_filter::{HANDLE, PRIORITY, filter, remove_filter};
use crate::kernel::error::{KernelError, program_error};
use crate::kernel::load::DataPath;
use crate::kernel::pinned_link::{attach_error, linked_interface, pin_link, pin_name};

impl DataPath {
    /// Loads the programs before an interface needs them.
    pub fn load_tc(&mut self) -> Result<(), KernelError> {
        self.programs.tc(true, &self.directory).map(drop)
    }

    /// The loaded program for packets with an Ethernet header, to run it without an interface.
    pub fn loaded_tc(&self) -> Result<&SchedClassifier, KernelError> {
        let program = self.programs.ebpf.program(TC_PROGRAM);
        let program = program.ok_or(KernelError::Missing(TC_PROGRAM))?;
        program.try_into().map_err(program_error("cannot use"))
    }

    pub(super) fn attach_tc(
        &mut self,
        interface: &str,
        index: u32,
        ethernet: bool,
    ) -> Result<(), KernelError> {
        let name = pin_name(TCX_LINK, interface);
        let pin = self.directory.pin(&name);
        let adoptable = pin.exists() && linked_interface(&pin).is_ok_and(|linked| linked == index);
        let adopted = adoptable.then(|| PinnedLink::from_pin(&pin).ok()).flatten();
        let adopted =
            adopted.and_then(|link| SchedClassifierLink::try_from(FdLink::from(link)).ok());
        let programs = self.tracing.as_mut().unwrap_or(&mut self.programs);
        let program = programs.tc(ethernet, &self.directory)?;
        if let Some(link) = adopted
            && let Ok(link) = program.attach_to_link(link)
        {
            // The pin alone is to hold it: else the program would stay attached when that goes.
            drop(program.take_link(link));
            info!("replaced the program behind {interface}");
            return Ok(());
        }
        self.directory.detach(&name)?;
        let has_filter = self.directory.pin(&pin_name(FILTER, interface)).exists();
        if !has_filter && runs_anothers(interface) {
            return Err(KernelError::Busy {
                interface: interface.to_owned(),
            });
        }
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        match program.attach_with_options(interface, TcAttachType::Ingress, order) {
            Ok(link) => {
                let link = program
                    .take_link(link)
                    .map_err(|source| attach_error(interface, source))?;
                pin_link(link, &pin)?;
                info!("attached to {interface}, behind its driver");
                Ok(())
            }
            Err(error) if is_unsupported(&error) => self.attach_filter(interface, ethernet),
            Err(source) => Err(attach_error(interface, source)),
        }
    }

    /// A filter cannot be pinned: what is pinned is its program, as a mark that the filter is this data path's.
    fn attach_filter(&mut self, interface: &str, ethernet: bool) -> Result<(), KernelError> {
        let mark = self.directory.pin(&pin_name(FILTER, interface));
        let marked = mark.exists();
        // It may be there already, with filters of others.
        if let Err(error) = tc::qdisc_add_clsact(interface) {
            debug!("no new clsact on {interface}: {error}");
        }
        let programs = self.tracing.as_mut().unwrap_or(&mut self.programs);
        let program = programs.tc(ethernet, &self.directory)?;
        if marked
            && let Ok(link) = filter(interface)
            && let Ok(link) = program.attach_to_link(link)
        {
            leave(program, link, interface)?;
            info!("replaced the program behind {interface}");
            return Ok(());
        }
        if !marked {
            mark_filter(program, &mark)?;
        }
        let options = NlOptions {
            priority: PRIORITY,
            handle: HANDLE,
            classid: None,
        };
        let options = TcAttachOptions::Netlink(options);
        let link = match program.attach_with_options(interface, TcAttachType::Ingress, options) {
            Ok(link) => link,
            Err(source) => {
                self.directory.unpin(&pin_name(FILTER, interface))?;
                return Err(attach_error(interface, source));
            }
        };
        leave(program, link, interface)?;
        info!("attached to {interface}, behind its driver");
        Ok(())
    }

    pub(super) fn detach_tc(&mut self, interface: &str) -> Result<(), KernelError> {
        self.directory.detach(&pin_name(TCX_LINK, interface))?;
        let mark = pin_name(FILTER, interface);
        if self.directory.pin(&mark).exists() {
            remove_filter(interface);
            self.directory.unpin(&mark)?;
        }
        Ok(())
    }
}

/// Attaches a program to an interface until the program is dropped. Only a kernel without links is given a queueing
/// discipline: with one, every packet that leaves the machine is shown to whoever may wait there.
pub(in crate::kernel) fn attach_for_now(
    program: &mut SchedClassifier,
    interface: &str,
) -> Result<tc::SchedClassifierLinkId, ProgramError> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::default());
    match program.attach_with_options(interface, TcAttachType::Ingress, order) {
        Err(error) if is_unsupported(&error) => {
            if let Err(error) = tc::qdisc_add_clsact(interface) {
                debug!("no new clsact on {interface}: {error}");
            }
            let filter = TcAttachOptions::Netlink(NlOptions::default());
            program.attach_with_options(interface, TcAttachType::Ingress, filter)
        }
        attached => attached,
    }
}

/// Lets the filter outlive the daemon.
fn leave(
    program: &mut SchedClassifier,
    link: tc::SchedClassifierLinkId,
    interface: &str,
) -> Result<(), KernelError> {
    let link = program.take_link(link);
    let link = link.map_err(|source| attach_error(interface, source))?;
    let _ = ManuallyDrop::new(link);
    Ok(())
}

fn mark_filter(program: &mut SchedClassifier, mark: &Path) -> Result<(), KernelError> {
    program.pin(mark).map_err(|source| KernelError::Pin {
        what: "cannot pin",
        path: mark.to_owned(),
        source: Box::new(source),
    })
}

/// True if a director's program is there, which is not this data path's: a second one would never see a packet.
fn runs_anothers(interface: &str) -> bool {
    let found = SchedClassifier::query_tcx(interface, TcAttachType::Ingress);
    let Ok((_, programs)) = found else {
        return false;
    };
    programs
        .iter()
        .filter_map(|program| program.name_as_str())
        .any(|name| [TC_PROGRAM, TC_L3_PROGRAM].contains(&name))
}

/// True of the answer of a kernel without tcx.
fn is_unsupported(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    matches!(
        error.io_error.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP)
    )
}
