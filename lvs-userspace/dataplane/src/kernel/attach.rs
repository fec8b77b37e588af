//! The program on its interfaces, by BPF links that outlive the daemon.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use lvs_common::abi::{PROGRAM, TC_PROGRAM};
use nix::net::if_::if_nametoindex;
use tracing::{info, warn};

use super::bpffs::LINK;
use super::error::{KernelError, program_error};
use super::gro;
use super::load::DataPath;
use super::mode::Mode;

/// The program on an interface.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The interface.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// The mode of the program there.
    pub mode: Mode,
}

impl DataPath {
    /// Runs this build's program on exactly these interfaces. Where an older one runs, it is replaced
    /// in its link: no packet passes without either.
    pub fn attach(&mut self, interfaces: &[String]) -> Result<Vec<Attachment>, KernelError> {
        let mut attachments = Vec::new();
        for interface in interfaces {
            attachments.push(self.attach_to(interface)?);
        }
        for name in self.directory.pins()? {
            let unwanted = |link: &str| {
                interfaces
                    .iter()
                    .all(|interface| pin_name(interface) != link)
            };
            if name.starts_with(LINK) && unwanted(&name) {
                info!("detaching from {}", interface_name(&name));
                self.directory.unpin(&name)?;
            }
        }
        self.stages.remove_others(&self.directory)?;
        Ok(attachments)
    }

    /// Attaches again where an interface was deleted and made anew. True if anything changed.
    pub fn follow(&mut self, attachments: &mut [Attachment]) -> bool {
        let mut changed = false;
        for attachment in attachments {
            let index = if_nametoindex(&*attachment.interface).unwrap_or(0);
            if index == attachment.index {
                continue;
            }
            changed = true;
            let attached = (index != 0).then(|| self.attach_to(&attachment.interface));
            *attachment = match attached {
                Some(Ok(attached)) => attached,
                Some(Err(error)) => {
                    warn!("{}", chain(&error));
                    Attachment {
                        index,
                        mode: Mode::Unknown,
                        ..attachment.clone()
                    }
                }
                None => {
                    warn!("the interface {} is gone", attachment.interface);
                    Attachment {
                        index,
                        mode: Mode::Unknown,
                        ..attachment.clone()
                    }
                }
            };
        }
        changed
    }

    /// The loaded program, to run it without an interface.
    pub fn loaded(&self) -> Result<&Xdp, KernelError> {
        let program = self
            .ebpf
            .program(PROGRAM)
            .ok_or(KernelError::Missing(PROGRAM))?;
        program.try_into().map_err(program_error("cannot use"))
    }

    /// The loaded TC program, likewise.
    pub fn loaded_tc(&self) -> Result<&SchedClassifier, KernelError> {
        let program = self
            .ebpf
            .program(TC_PROGRAM)
            .ok_or(KernelError::Missing(TC_PROGRAM))?;
        program.try_into().map_err(program_error("cannot use"))
    }

    /// Interfaces that a link of this data path is pinned for.
    pub fn attached(&self) -> Result<Vec<String>, KernelError> {
        let links = self.directory.pins()?;
        Ok(links
            .iter()
            .filter(|name| name.starts_with(LINK))
            .map(|name| interface_name(name))
            .collect())
    }

    /// Runs this build's program on this interface, too.
    pub fn attach_to(&mut self, interface: &str) -> Result<Attachment, KernelError> {
        let index = if_nametoindex(interface)
            .map_err(|_| KernelError::NoInterface(interface.to_owned()))?;
        let pin = self.directory.pin(&pin_name(interface));
        // The interface may have been deleted, or renamed, since the link was made.
        let adoptable = pin.exists() && linked_interface(&pin).is_ok_and(|linked| linked == index);
        if adoptable && replace(self.program()?, &pin) {
            info!("replaced the program on {interface}");
        } else {
            self.directory.unpin(&pin_name(interface))?;
            self.attach_anew(interface, index, &pin)?;
        }
        let mode = Mode::of(index);
        if mode == Mode::Generic {
            warn!(
                "{interface}: the kernel runs the program in generic mode, several times slower than \
                 a driver that can run it itself"
            );
            gro::switch_off(index);
        }
        Ok(Attachment {
            interface: interface.to_owned(),
            index,
            mode,
        })
    }

    fn attach_anew(&mut self, interface: &str, index: u32, pin: &Path) -> Result<(), KernelError> {
        let program = self.program()?;
        let link = match program.attach_to_if_index(index, XdpMode::Driver) {
            Err(error) if is_busy(&error) => {
                return Err(KernelError::Busy {
                    interface: interface.to_owned(),
                });
            }
            Err(error) => {
                warn!(
                    "{interface}: its driver does not take the program: {}",
                    chain(&error)
                );
                program.attach_to_if_index(index, XdpMode::Skb)
            }
            attached => attached,
        };
        let link = link
            .and_then(|link| program.take_link(link))
            .map_err(|source| attach_error(interface, source))?;
        let pin_error = |source: Box<dyn std::error::Error + Send + Sync>| KernelError::Pin {
            what: "cannot pin",
            path: pin.to_owned(),
            source,
        };
        let link = FdLink::try_from(link).map_err(|error| pin_error(Box::new(error)))?;
        link.pin(pin).map_err(|error| pin_error(Box::new(error)))?;
        info!("attached to {interface}");
        Ok(())
    }

    fn program(&mut self) -> Result<&mut Xdp, KernelError> {
        let program = self
            .ebpf
            .program_mut(PROGRAM)
            .ok_or(KernelError::Missing(PROGRAM))?;
        program.try_into().map_err(program_error("cannot use"))
    }
}

/// Replaces the program of the pinned link; false if the link is dead.
fn replace(program: &mut Xdp, pin: &Path) -> bool {
    let adopted = PinnedLink::from_pin(pin)
        .ok()
        .and_then(|link| XdpLink::try_from(FdLink::from(link)).ok());
    adopted.is_some_and(|link| program.attach_to_link(link).is_ok())
}

/// Name of the pin of an interface's link. The BPF file system reserves dots, which the names of VLAN
/// interfaces contain; a colon cannot be part of an interface's name.
fn pin_name(interface: &str) -> String {
    format!("{LINK}{}", interface.replace('.', ":"))
}

fn interface_name(pin: &str) -> String {
    pin.trim_start_matches(LINK).replace(':', ".")
}

fn attach_error(interface: &str, source: ProgramError) -> KernelError {
    KernelError::Attach {
        interface: interface.to_owned(),
        source: Box::new(source),
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

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Index of the interface of a pinned XDP link; 0 if that is gone. aya does not ask for it.
fn linked_interface(pin: &Path) -> io::Result<u32> {
    const OBJ_GET: libc::c_long = 7;
    const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
    /// `union bpf_attr` of `BPF_OBJ_GET`.
    #[repr(C)]
    struct Get {
        path: u64,
        fd: u32,
        flags: u32,
    }
    /// `union bpf_attr` of `BPF_OBJ_GET_INFO_BY_FD`.
    #[repr(C)]
    struct GetInfo {
        fd: u32,
        length: u32,
        info: u64,
    }
    /// The beginning of `struct bpf_link_info` of an XDP link.
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
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = Get {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    let link = bpf(OBJ_GET, &mut get)?;
    let fd = RawFd::try_from(link).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = LinkInfo::default();
    let mut ask = GetInfo {
        fd: link.as_raw_fd().unsigned_abs(),
        length: u32::try_from(size_of::<LinkInfo>()).unwrap_or(0),
        info: (&raw mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut ask)?;
    Ok(info.interface)
}

/// The `bpf` system call with a part of its argument union.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes at most the size given, and what the attributes point to is
    // alive and as large as they say (both callers are above).
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}
