//! The system call filter of the daemon, which its children inherit.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// System calls that administer the machine, or read and steer other processes: neither a director nor a health
/// check needs them. It is a list of what is refused, not of what is allowed: check scripts are programs of any
/// kind, and a call that a list of allowed ones forgot would be a server that is down.
const REFUSED: &[i64] = &[
    // Another kernel, or another end of this one.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    // Memory and system calls of other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_userfaultfd,
    // The tree of files.
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Clock, names, accounting and log of the machine.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// Filters of a thread that has this one, beside those that the daemon was started with.
static FILTERS: OnceLock<u32> = OnceLock::new();

/// User and number of filters of a process or thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Number of its user.
    pub(crate) user: u32,
    filters: u32,
}

impl Traits {
    /// Those of a process; none: it is gone, or not shown to this one.
    pub(crate) fn of(process: i32) -> Option<Self> {
        Self::read(&process.to_string())
    }

    fn read(process: &str) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line?.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            user: number("Uid:")?,
            filters: number("Seccomp_filters:")?,
        })
    }

    /// True if it descends from a thread with the filter.
    pub(crate) fn has_filter(self) -> bool {
        FILTERS
            .get()
            .is_some_and(|filters| self.filters >= *filters)
    }
}

/// Input and output ports of the processor.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Installs the filter for this thread, for threads that it makes from now on, and for all children of those. A
/// refused call fails with EPERM. With `unmount` file systems may be unmounted.
///
/// # Errors
///
/// The processor is of a kind that the filter is not made for, or the kernel has no filters.
pub(crate) fn install(unmount: bool) -> Result<()> {
    let unmounting = (!unmount).then_some(&libc::SYS_umount2);
    let refused = REFUSED.iter().chain(REFUSED_HERE).chain(unmounting);
    let architecture = std::env::consts::ARCH
        .try_into()
        .context("no system call filter for this processor")?;
    let filter = SeccompFilter::new(
        refused
            .map(|call| (*call, Vec::new()))
            .collect::<BTreeMap<_, _>>(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        architecture,
    );
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .context("cannot make the system call filter")?;
    apply_filter(&program).context("cannot install the system call filter")?;
    if let Some(own) = Traits::read("thread-self") {
        // All have as many.
        let _ = FILTERS.set(own.filters);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;
    use nix::unistd::{gethostname, sethostname};

    use super::*;

    #[test]
    fn threads_and_their_children_cannot_administer_the_machine() {
        let tried = thread::spawn(|| {
            install(false).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "none"]).arg(folder.path());
            let mounted = mount.output();
            // Those that follow have the filter, too.
            let named = thread::spawn(|| sethostname(gethostname().unwrap()));
            (mounted.unwrap(), named.join().unwrap())
        });
        let (mounted, named) = tried.join().unwrap();
        assert!(!mounted.status.success(), "{mounted:?}");
        assert_eq!(named, Err(Errno::EPERM));
    }

    #[test]
    fn a_check_script_does_what_scripts_do() {
        let script = "set -e; cd $(mktemp -d); umask 077; echo x | tee a | grep -q x; ln -s a b; chmod 600 a; \
                      (ulimit -n 100; nice -n 1 cat b) > c; kill -0 $$; timeout 5 sleep 0.01; \
                      setsid -w true; rm a b c; rmdir $PWD; \
                      perl -e 'use Socket; socket(S, PF_INET, SOCK_DGRAM, 0) or die'";
        let tried = thread::spawn(move || {
            install(false).unwrap();
            Command::new("/bin/sh")
                .args(["-c", script])
                .output()
                .unwrap()
        });
        let output = tried.join().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
