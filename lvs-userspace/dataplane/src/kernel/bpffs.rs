//! The folder on the BPF file system where the data path is pinned.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tracing::debug;

use super::clsact_filter::remove_filter;
use super::error::KernelError;
use super::pinned_link::{detach_link, interface_name};

/// Prefix of the names of pinned links of the program in a driver.
pub(super) const XDP_LINK: &str = "link-";
/// Prefix of the names of pinned links of the program behind a driver.
pub(super) const TCX_LINK: &str = "tcx-";
/// Prefix of the names of marks: there is a filter with that program.
pub(super) const FILTER: &str = "filter-";
/// Prefix of the names of pinned links of the programs that count lost frames.
pub(super) const TRACE_LINK: &str = "trace-";
/// Prefix of the names of pinned links of the programs for sockets on the director.
pub(super) const CGROUP_LINK: &str = "cgroup-";

/// Usual mount point of the BPF file system.
const USUAL_MOUNT: &str = "/sys/fs/bpf";

/// A folder on a BPF file system that this process alone uses, until it ends.
pub struct Directory {
    path: PathBuf,
    /// True if the file system was mounted on the very folder, for this data path alone.
    own_mount: bool,
    _lock: Flock<File>,
}

impl Directory {
    /// Opens (and makes, and mounts) the folder and locks out every other daemon.
    ///
    /// If the folder does not lie on a BPF file system yet, one is mounted: at its usual place if
    /// the folder is beneath that, otherwise on the folder itself.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        if !on_bpffs(path) {
            let at = if path.starts_with(USUAL_MOUNT) {
                Path::new(USUAL_MOUNT)
            } else {
                path
            };
            fs::create_dir_all(at).map_err(KernelError::file("cannot make the folder", at))?;
            let options = Some("mode=0700");
            mount(Some("bpffs"), at, Some("bpf"), MsFlags::empty(), options).map_err(|errno| {
                KernelError::file("cannot mount a BPF file system on", at)(errno.into())
            })?;
        }
        fs::create_dir_all(path).map_err(|error| match dotted(path) {
            Some(name) => KernelError::Dotted(name),
            None => KernelError::file("cannot make the folder", path)(error),
        })?;
        let folder = File::open(path).map_err(KernelError::file("cannot open the folder", path))?;
        let lock = Flock::lock(folder, FlockArg::LockExclusiveNonblock)
            .map_err(|_| KernelError::Locked(path.to_owned()))?;
        let own_mount =
            path.parent().is_some_and(|parent| !on_bpffs(parent)) && path != Path::new(USUAL_MOUNT);
        Ok(Self {
            path: path.to_owned(),
            own_mount,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if a data path is pinned here, complete or not.
    pub fn has_data_path(&self) -> bool {
        self.pin(lvs_common::abi::CONFIG).exists()
    }

    /// Path of the pin of an object.
    pub(super) fn pin(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Names of what is pinned.
    pub(super) fn pins(&self) -> Result<Vec<String>, KernelError> {
        let error = || KernelError::file("cannot list", &self.path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error())? {
            names.extend(entry.map_err(error())?.file_name().into_string());
        }
        // Files of the kernel's own, in the root of each BPF file system. Pins cannot have such names.
        names.retain(|name| !name.contains('.'));
        Ok(names)
    }

    /// Gives the pins of an older version the names that their maps have now.
    pub(super) fn rename_old(&self) -> Result<(), KernelError> {
        for (old, new) in lvs_common::abi::RENAMED {
            let (from, to) = (self.pin(old), self.pin(new));
            if from.exists() && !to.exists() {
                fs::rename(&from, to).map_err(KernelError::file("cannot rename", from))?;
            }
        }
        Ok(())
    }

    /// Gives a pin another name, in place of what has that; that it is not there is fine.
    pub(super) fn rename(&self, name: &str, new: &str) -> Result<(), KernelError> {
        let from = self.pin(name);
        if !from.exists() {
            return Ok(());
        }
        self.unpin(new)?;
        fs::rename(&from, self.pin(new)).map_err(KernelError::file("cannot rename", from))
    }

    /// Removes one pin; that it is not there is fine.
    pub(super) fn unpin(&self, name: &str) -> Result<(), KernelError> {
        let path = self.pin(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(KernelError::file("cannot remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pin of a link, and what that attaches; that it is not there is fine.
    pub(super) fn detach(&self, name: &str) -> Result<(), KernelError> {
        let path = self.pin(name);
        if path.exists()
            && let Err(error) = detach_link(&path)
        {
            debug!("{} is not detached at once: {error}", path.display());
        }
        self.unpin(name)
    }

    /// Removes all pins: first what is attached, then the mark that the maps are complete.
    pub(super) fn clear(&self) -> Result<(), KernelError> {
        let mut names = self.pins()?;
        for filter in names.iter().filter_map(|name| name.strip_prefix(FILTER)) {
            remove_filter(&interface_name(filter));
        }
        let rank = |name: &str| match name {
            link if [XDP_LINK, TCX_LINK, CGROUP_LINK]
                .iter()
                .any(|prefix| link.starts_with(prefix)) =>
            {
                0
            }
            lvs_common::abi::CONFIG => 1,
            _ => 2,
        };
        names.sort_by_key(|name| rank(name));
        names.iter().try_for_each(|name| match rank(name) {
            0 => self.detach(name),
            _ => self.unpin(name),
        })
    }

    /// Removes the pins that a process left in its folder. False: a process still uses it.
    pub fn remove_abandoned(path: &Path) -> Result<bool, KernelError> {
        match Self::open(path) {
            Ok(directory) => directory.remove().map(|()| true),
            Err(KernelError::Locked(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the folder, and the file system if it was there for this folder alone.
    pub(super) fn remove(self) -> Result<(), KernelError> {
        self.clear()?;
        let Self {
            path,
            own_mount,
            _lock: lock,
        } = self;
        drop(lock);
        if own_mount {
            umount2(&path, MntFlags::MNT_DETACH)
                .map_err(|errno| KernelError::file("cannot unmount", &path)(errno.into()))?;
        }
        fs::remove_dir(&path).map_err(KernelError::file("cannot remove the folder", &path))
    }
}

/// The name in a path that no folder of a BPF file system can have.
fn dotted(path: &Path) -> Option<String> {
    let inside = path.ancestors().take_while(|folder| on_bpffs(folder));
    let mut names = inside.filter_map(|folder| folder.file_name()?.to_str());
    names.find(|name| name.contains('.')).map(str::to_owned)
}

/// True if a path, or the nearest folder above it that exists, is on a BPF file system.
fn on_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find_map(|ancestor| statfs(ancestor).ok())
        .is_some_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}
