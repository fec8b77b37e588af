//! Pinned BPF links, whatever they attach.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::programs::ProgramError;
use aya::programs::links::FdLink;

use super::error::KernelError;
use super::system_call::bpf;

/// Name of the pin of an interface's link. The BPF file system reserves dots, which the names of VLAN
/// interfaces contain; a colon cannot be part of an interface's name.
pub(super) fn pin_name(prefix: &str, interface: &str) -> String {
    format!("{prefix}{}", interface.replace('.', ":"))
}

/// The interface in the name of a pin, without its prefix.
pub(super) fn interface_name(pin: &str) -> String {
    pin.replace(':', ".")
}

pub(super) fn attach_error(interface: &str, source: ProgramError) -> KernelError {
    KernelError::Attach {
        interface: interface.to_owned(),
        source: Box::new(source),
    }
}

/// Lets a link outlive the daemon.
pub(super) fn pin_link<L>(link: L, pin: &Path) -> Result<(), KernelError>
where
    FdLink: TryFrom<L>,
    Box<dyn std::error::Error + Send + Sync>: From<<FdLink as TryFrom<L>>::Error>,
{
    let pin_error = |source: Box<dyn std::error::Error + Send + Sync>| KernelError::Pin {
        what: "cannot pin",
        path: pin.to_owned(),
        source,
    };
    let link = FdLink::try_from(link).map_err(|error| pin_error(error.into()))?;
    link.pin(pin).map_err(|error| pin_error(Box::new(error)))?;
    Ok(())
}

/// Index of the interface of a pinned link; 0 if that is gone. aya does not ask for it.
pub(super) fn linked_interface(pin: &Path) -> io::Result<u32> {
    const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    /// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
    #[repr(C)]
    struct GetInfo {
        fd: u32,
        length: u32,
        info: u64,
    }
    /// The beginning of `struct bpf_link_info` of an XDP or a tcx link.
    #[repr(C)]
    #[derive(Default)]
    struct LinkInfo {
        kind: u32,
        id: u32,
        program: u32,
        reserved: u32,
        interface: u32,
        padding: u32,
    }
    let link = open_link(pin)?;
    let mut info = LinkInfo::default();
    let mut ask = GetInfo {
        fd: link.as_raw_fd().unsigned_abs(),
        length: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
        info: (&raw mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut ask)?;
    Ok(info.interface)
}

/// Detaches what a pinned link attaches, at once: when its pin alone went, the kernel would do that a moment later, and
/// not at all while somebody else holds the link.
pub(super) fn detach_link(pin: &Path) -> io::Result<()> {
    const LINK_DETACH: libc::c_long = 34;
    /// `union bpf_attr` of `BPF_LINK_DETACH`.
    #[repr(C)]
    struct Detach {
        fd: u32,
    }
    let link = open_link(pin)?;
    let mut detach = Detach {
        fd: link.as_raw_fd().unsigned_abs(),
    };
    bpf(LINK_DETACH, &mut detach).map(drop)
}

fn open_link(pin: &Path) -> io::Result<OwnedFd> {
    const OBJ_GET: libc::c_long = 7;
    /// `union bpf_attr` of `BPF_OBJ_GET`.
    #[repr(C)]
    struct Get {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = Get {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    let link = bpf(OBJ_GET, &mut get)?;
    let fd = RawFd::try_from(link).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
