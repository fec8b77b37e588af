//! The programs that have sockets on the director connect to real servers.
//!
//! They are attached to a cgroup: a socket belongs to that of the process that made it. That the socket is one of the
//! director's network namespace the programs find out themselves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use lvs_common::abi::LOCAL_PROGRAMS;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use tracing::info;

use super::bpffs::CGROUP_LINK;
use super::error::{KernelError, program_error};
use super::load::DataPath;
use super::namespace;
use super::pinned_link::pin_link;

impl DataPath {
    /// Balances the connections of clients on the director whose processes are in this cgroup, or of none.
    ///
    /// The programs were loaded if [`super::load::Options::local_clients`] says so. A link of an earlier start ends
    /// after the new one has begun: no socket misses both.
    pub fn serve_local_clients(&mut self, cgroup: Option<&Path>) -> Result<(), KernelError> {
        let Some(cgroup) = cgroup else {
            return LOCAL_PROGRAMS
                .iter()
                .try_for_each(|name| self.directory.unpin(&pin(name)));
        };
        namespace::cookie().map_err(KernelError::file(
            "cannot tell sockets of the network namespace",
            "/proc/self/ns/net",
        ))?;
        let folder = File::open(cgroup).map_err(KernelError::file("cannot open", cgroup))?;
        for name in LOCAL_PROGRAMS {
            let program = self.programs.ebpf.program_mut(name);
            let program = program.ok_or(KernelError::Missing(name))?;
            let program: &mut CgroupSockAddr =
                program.try_into().map_err(program_error("cannot use"))?;
            // A link stands beside others whatever the mode; the kernel refuses to be told so.
            let link = program
                .attach(&folder, CgroupAttachMode::Single)
                .and_then(|link| program.take_link(link))
                .map_err(|source| KernelError::AttachCgroup {
                    cgroup: cgroup.to_owned(),
                    source: Box::new(source),
                })?;
            self.directory.unpin(&pin(name))?;
            pin_link(link, &self.directory.pin(&pin(name)))?;
        }
        info!(
            "clients on this machine in the cgroup {} reach the virtual services",
            cgroup.display()
        );
        Ok(())
    }
}

fn pin(program: &str) -> String {
    format!("{CGROUP_LINK}{program}")
}

/// The folder of a cgroup: the one named, or the root of the hierarchy where that is mounted.
pub fn cgroup(named: &Path) -> Result<PathBuf, KernelError> {
    if !named.as_os_str().is_empty() {
        let found = statfs(named)
            .map_err(|errno| KernelError::file("cannot find the cgroup", named)(errno.into()))?;
        if found.filesystem_type() != CGROUP2_SUPER_MAGIC {
            return Err(KernelError::NoCgroup(named.to_owned()));
        }
        return Ok(named.to_owned());
    }
    let mounts = "/proc/self/mounts";
    let list = fs::read_to_string(mounts).map_err(KernelError::file("cannot read", mounts))?;
    mounted(&list).ok_or(KernelError::NoCgroups)
}

/// The first mount point of a cgroup2 file system in `/proc/self/mounts`.
fn mounted(mounts: &str) -> Option<PathBuf> {
    let mut mounts = mounts.lines().map(|line| line.split_whitespace());
    mounts.find_map(|mut words| {
        let point = words.nth(1)?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_where_it_is_mounted() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            mounted(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(mounted("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
    }

    #[test]
    fn a_folder_that_is_no_cgroup_is_refused_by_name() {
        let error = cgroup(Path::new("/proc")).expect_err("no cgroup");
        assert!(error.to_string().contains("/proc"), "{error}");
    }
}
