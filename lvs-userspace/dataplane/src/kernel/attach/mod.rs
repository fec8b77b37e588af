//! The programs on the interfaces, by BPF links that outlive the daemon.
//!
//! `xdp` runs the program in an interface's driver, `tc` behind it.

mod tc;
mod xdp;

use nix::net::if_::if_nametoindex;
use tracing::info;

pub(super) use self::tc::attach_for_now;
use super::bpffs::{FILTER, TCX_LINK, XDP_LINK};
use super::error::KernelError;
use super::load::DataPath;
use super::pinned_link::{interface_name, pin_name};

impl DataPath {
    /// Runs this build's programs at these places of an interface, and at no others. Where an older one runs
    /// it is replaced in its link, and what takes its place runs before it goes: no packet passes without.
    /// Packets with an `ethernet` header have another program behind the driver than those without.
    pub fn run_on(
        &mut self,
        interface: &str,
        xdp: bool,
        tc: bool,
        ethernet: bool,
    ) -> Result<(), KernelError> {
        let index = if_nametoindex(interface)
            .map_err(|_| KernelError::NoInterface(interface.to_owned()))?;
        // In generic mode, as earlier versions ran it, it would be in the way of one in the driver.
        let generic = self.runs_generic(interface, index);
        if tc || generic {
            self.attach_tc(interface, index, ethernet)?;
        }
        if generic {
            info!("{interface}: the program in generic mode gives way");
            self.detach_xdp(interface)?;
        }
        if xdp {
            self.attach_xdp(interface, index)?;
        } else {
            self.detach_xdp(interface)?;
        }
        if !tc {
            self.detach_tc(interface)?;
        }
        Ok(())
    }

    /// Follows an interface to its new name: the programs stay attached.
    pub fn rename(&self, interface: &str, new: &str) -> Result<(), KernelError> {
        for prefix in [XDP_LINK, TCX_LINK, FILTER] {
            let (from, to) = (pin_name(prefix, interface), pin_name(prefix, new));
            self.directory.rename(&from, &to)?;
        }
        Ok(())
    }

    /// Takes the programs off all interfaces but these.
    pub fn leave_all_but(&mut self, interfaces: &[String]) -> Result<(), KernelError> {
        for interface in self.attached()? {
            if !interfaces.contains(&interface) {
                info!("detaching from {interface}");
                self.detach_xdp(&interface)?;
                self.detach_tc(&interface)?;
            }
        }
        self.programs.stages.remove_others(&self.directory)?;
        Ok(())
    }

    /// Interfaces that programs of this data path were attached to.
    pub fn attached(&self) -> Result<Vec<String>, KernelError> {
        let mut names: Vec<_> = self
            .directory
            .pins()?
            .iter()
            .filter_map(|pin| {
                let prefixes = [XDP_LINK, TCX_LINK, FILTER];
                prefixes.iter().find_map(|prefix| pin.strip_prefix(prefix))
            })
            .map(interface_name)
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}
