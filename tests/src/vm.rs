//! Another kernel in a virtual machine: Debian's, booted with programs of this one.
//!
//! Emulated, not accelerated, so that it runs inside other virtual machines too: five seconds to a
//! shell, and everything in it twenty times slower.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use parking_lot::Mutex;

use crate::lab::Missing;

/// Programs this needs.
const PROGRAMS: [&str; 8] = [
    "qemu-system-x86_64",
    "busybox",
    "cpio",
    "ldd",
    "apt-get",
    "timeout",
    "modprobe",
    "depmod",
];
/// Whole life of a machine.
const PATIENCE_SECONDS: u32 = 900;
/// Two virtio cards on one wire, which are there once a script loads their driver.
const TWO_CARDS: [&str; 8] = [
    "-netdev",
    "hubport,id=one,hubid=0",
    "-device",
    "virtio-net-pci,netdev=one,romfile=",
    "-netdev",
    "hubport,id=other,hubid=0",
    "-device",
    "virtio-net-pci,netdev=other,romfile=",
];
/// Line before and line after what a script prints on the console.
const BEGIN: &str = "-- begin --";
/// See [`BEGIN`]; the exit status follows.
const END: &str = "-- end, status ";

/// Checks that a virtual machine can run here; the error names what is missing.
pub fn check() -> Result<(), Missing> {
    for program in PROGRAMS {
        if crate::lab::find(program).is_none() {
            return Err(Missing(format!(
                "{program} is not installed: run `cargo xtask setup`"
            )));
        }
    }
    Ok(())
}

/// Tests run side by side, and all want the same kernel.
static PREPARING: Mutex<()> = Mutex::new(());

/// Each instruction of the machine takes one nanosecond of its own time, however long it takes here; waiting takes none.
const COUNTING: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// Runs a script on Debian's kernel in a machine whose clock counts instructions, with some tools beside lvsd and lvsadm.
///
/// # Errors
///
/// A program or the kernel is missing, or the script fails.
pub fn run_counting_instructions(modules: &[&str], tools: &[&str], script: &str) -> Result<String> {
    check().map_err(|missing| anyhow!(missing.0))?;
    let mut programs = vec![crate::lab::built("lvsd")?, crate::lab::built("lvsadm")?];
    let target = programs[0].ancestors().nth(2);
    let kernel = Kernel::debian(&target.context("no folder of builds")?.join("tmp/debian"))?;
    for tool in tools {
        let found = crate::lab::find(tool);
        programs.push(
            found.with_context(|| format!("{tool} is not installed: run `cargo xtask setup`"))?,
        );
    }
    let programs: Vec<&Path> = programs.iter().map(AsRef::as_ref).collect();
    kernel
        .counting_instructions()
        .run_with_modules(modules, &programs, script)
}

/// A kernel to boot.
pub struct Kernel {
    image: PathBuf,
    counting: bool,
}

impl Kernel {
    /// The kernel of this machine's Debian release, downloaded into a folder if it is not there.
    pub fn debian(folder: &Path) -> Result<Self> {
        let _alone = PREPARING.lock();
        if let Some(image) = image(folder) {
            return Ok(Self::new(image));
        }
        fs::create_dir_all(folder)?;
        if download(folder).is_err() {
            // The lists of packages may be old, or not there at all.
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            download(folder)?;
        }
        let image = image(folder).context("the kernel's package contains no kernel")?;
        Ok(Self::new(image))
    }

    const fn new(image: PathBuf) -> Self {
        Self {
            image,
            counting: false,
        }
    }

    /// The same kernel in a machine whose clock counts instructions: a nanosecond of run time is one of them.
    #[must_use]
    pub fn counting_instructions(self) -> Self {
        Self {
            counting: true,
            ..self
        }
    }

    /// Its release, as `uname -r` would say.
    pub fn release(&self) -> String {
        let name = self.image.file_name().unwrap_or_default().to_string_lossy();
        name.trim_start_matches("vmlinuz-").to_owned()
    }

    /// Boots it with some programs in `/bin`, runs a shell script as root, and returns what that
    /// printed. A script that fails is an error.
    pub fn run(&self, programs: &[&Path], script: &str) -> Result<String> {
        self.run_with_modules(&[], programs, script)
    }

    /// The same, with some kernel modules (and what they need) for the script to `modprobe`, or for
    /// the kernel itself to.
    pub fn run_with_modules(
        &self,
        modules: &[&str],
        programs: &[&Path],
        script: &str,
    ) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        fill(&root, programs, script).context("cannot make the machine's file system")?;
        self.add_modules(&root, modules)
            .context("cannot give the machine its modules")?;
        let archive = folder.path().join("initramfs");
        pack(&root, &archive)?;
        let output = Command::new("timeout")
            .arg(PATIENCE_SECONDS.to_string())
            .args([
                "qemu-system-x86_64",
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                "2G",
            ])
            .args(["-nographic", "-no-reboot", "-net", "none"])
            .args(COUNTING.iter().filter(|_| self.counting))
            .args(TWO_CARDS)
            .arg("-kernel")
            .arg(&self.image)
            .arg("-initrd")
            .arg(&archive)
            .args([
                "-append",
                "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off tsc=reliable",
            ])
            .stdin(Stdio::null())
            .output()
            .context("cannot start qemu-system-x86_64")?;
        let console = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let said = console
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END));
        let Some((said, status)) = said else {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("the machine did not run its script to the end: {console}{errors}");
        };
        ensure!(
            status.trim_start().starts_with("0 --"),
            "the script failed: {said}"
        );
        Ok(said.trim().to_owned())
    }
}

impl Kernel {
    fn add_modules(&self, root: &Path, modules: &[&str]) -> Result<()> {
        if modules.is_empty() {
            return Ok(());
        }
        let package = self.image.ancestors().nth(2).context("no package")?;
        let folder = Path::new("lib/modules").join(self.release());
        let alone = PREPARING.lock();
        if !package.join(&folder).join("modules.dep").exists() {
            run(Command::new("depmod")
                .arg("-b")
                .arg(package)
                .arg(self.release()))?;
        }
        drop(alone);
        fs::create_dir_all(root.join(&folder))?;
        for list in [
            "modules.order",
            "modules.builtin",
            "modules.builtin.modinfo",
        ] {
            fs::copy(
                package.join(&folder).join(list),
                root.join(&folder).join(list),
            )?;
        }
        let needed = run(Command::new("modprobe")
            .arg("-d")
            .arg(package)
            .args(["-S", &self.release(), "--show-depends", "-a"])
            .args(modules))?;
        // Lines of `insmod FILE OPTIONS` and, for what the kernel has anyway, `builtin NAME`.
        for line in needed.lines() {
            let Some(file) = line.strip_prefix("insmod ") else {
                continue;
            };
            let (file, _) = file.split_once(' ').unwrap_or((file, ""));
            let file = Path::new(file);
            let to = root.join(file.strip_prefix(package)?);
            fs::create_dir_all(to.parent().context("a module at /")?)?;
            fs::copy(file, to)?;
        }
        run(Command::new("depmod")
            .arg("-b")
            .arg(root)
            .arg(self.release()))?;
        // Where the kernel looks for it.
        std::os::unix::fs::symlink("bin", root.join("sbin"))?;
        Ok(())
    }
}

fn image(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder.join("kernel/boot")).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

/// The package that Debian's meta package for cloud kernels stands for: small, drivers built in.
fn download(folder: &Path) -> Result<()> {
    let depends = run(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("apt-cache does not know linux-image-cloud-amd64")?
        .to_owned();
    run(Command::new("apt-get")
        .args(["download", "-qq", &package])
        .current_dir(folder))?;
    let archive = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded nothing")?;
    run(Command::new("dpkg")
        .arg("-x")
        .arg(archive)
        .arg(folder.join("unpacking")))?;
    // Whole or not at all: the next run takes what it finds.
    fs::rename(folder.join("unpacking"), folder.join("kernel"))?;
    Ok(())
}

/// The first file system: busybox, the programs with the libraries they are linked to, the script.
fn fill(root: &Path, programs: &[&Path], script: &str) -> Result<()> {
    for folder in ["bin", "dev", "proc", "sys", "tmp", "run"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let busybox = crate::lab::find("busybox").context("busybox is missing")?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        fs::copy(program, root.join("bin").join(name))
            .with_context(|| format!("cannot copy {}", program.display()))?;
        for library in libraries(program)? {
            let to = root.join(library.strip_prefix("/")?);
            fs::create_dir_all(to.parent().context("a library at /")?)?;
            fs::copy(library, to)?;
        }
    }
    let init = root.join("init");
    fs::write(
        &init,
        format!(
            "#!/bin/busybox sh\n\
             export PATH=/bin\n\
             /bin/busybox --install -s /bin\n\
             mount -t devtmpfs dev /dev\n\
             mount -t proc proc /proc\n\
             mount -t sysfs sys /sys\n\
             mount -t bpf bpf /sys/fs/bpf\n\
             ip link set lo up\n\
             echo '{BEGIN}'\n\
             (\nset -e\n{script}\n)\n\
             echo \"{END}$? --\"\n\
             poweroff -f\n"
        ),
    )?;
    fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// The shared libraries a program is linked to.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = run(Command::new("ldd").arg(program))?;
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let names = run(Command::new("find").arg(".").current_dir(root))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(archive)?)
        .spawn()
        .context("cannot start cpio")?;
    cpio.stdin
        .take()
        .context("cpio has no input")?
        .write_all(names.as_bytes())?;
    ensure!(cpio.wait()?.success(), "cpio failed");
    Ok(())
}

fn run(command: &mut Command) -> Result<String> {
    let output = crate::lab::command_output(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
