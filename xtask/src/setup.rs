//! `cargo xtask setup`: what the other verbs need, installed where it is missing.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{bpf, shell};

/// Install what is missing for building, the lab and the tests.
///
/// Each thing missing is named with the reason it is needed before anything is installed; where
/// nothing is missing this takes no time. Every other verb does this by itself for what it needs.
///
/// On Debian and its relatives packages come from apt-get. Elsewhere the BPF toolchain comes from
/// rustup (nightly with rust-src), and missing programs are named for you to install.
#[derive(Args)]
pub(crate) struct Setup {
    /// Only say what is missing.
    #[arg(long)]
    dry_run: bool,
}

impl Setup {
    pub(crate) fn execute(&self) -> Result<()> {
        let all = [Purpose::Build, Purpose::Lab, Purpose::Vm];
        if self.dry_run {
            announce(&missing(&all));
        } else {
            ensure(&all)?;
        }
        if missing(&all).is_empty() {
            println!("nothing is missing");
        }
        Ok(())
    }
}

/// What something is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building lvsd.
    Build,
    /// The lab of network namespaces.
    Lab,
    /// Tests on another kernel, in a virtual machine.
    Vm,
}

/// A thing that has to be there.
struct Requirement {
    purpose: Purpose,
    what: &'static str,
    why: &'static str,
    present: fn() -> bool,
    /// Debian packages that bring it.
    packages: &'static [&'static str],
}

const fn program(
    purpose: Purpose,
    what: &'static str,
    packages: &'static [&'static str],
    why: &'static str,
    present: fn() -> bool,
) -> Requirement {
    Requirement {
        purpose,
        what,
        why,
        present,
        packages,
    }
}

/// Everything, in the order in which it is installed.
const REQUIREMENTS: &[Requirement] = &[
    program(
        Purpose::Build,
        COMPILER,
        &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
        "compiles the XDP program to BPF code",
        || bpf::has_debian_compiler() || bpf::has_nightly(),
    ),
    program(
        Purpose::Build,
        LINKER,
        &["llvm-22-dev", "zlib1g-dev", "g++"],
        "links the XDP program (its packages: LLVM of the compiler's version, to build it)",
        || bpf::linker().is_some(),
    ),
    program(
        Purpose::Lab,
        "ip",
        &["iproute2"],
        "makes the lab's network namespaces",
        || has("ip"),
    ),
    program(
        Purpose::Lab,
        "ethtool",
        &["ethtool"],
        "switches offloads on the lab's veth pairs",
        || has("ethtool"),
    ),
    program(
        Purpose::Lab,
        "nginx",
        &["nginx-light"],
        "is the lab's real servers",
        || has("nginx"),
    ),
    program(
        Purpose::Lab,
        "curl",
        &["curl"],
        "is the lab's client",
        || has("curl"),
    ),
    program(
        Purpose::Lab,
        "wrk",
        &["wrk"],
        "puts load on the lab",
        || has("wrk"),
    ),
    program(
        Purpose::Vm,
        "qemu-system-x86_64",
        &["qemu-system-x86"],
        "boots another kernel to test on",
        || has("qemu-system-x86_64"),
    ),
    program(
        Purpose::Vm,
        "busybox",
        &["busybox-static"],
        "is the user space of that kernel's first file system",
        || has("busybox"),
    ),
    program(
        Purpose::Vm,
        "cpio",
        &["cpio"],
        "packs that file system",
        || has("cpio"),
    ),
    program(
        Purpose::Vm,
        "depmod",
        &["kmod"],
        "prepares that kernel's modules",
        || has("depmod"),
    ),
    program(
        Purpose::Vm,
        "ipvsadm",
        &["ipvsadm"],
        "tells what that kernel's own IPVS answers, to compare with",
        || has("ipvsadm"),
    ),
];

const COMPILER: &str = "Rust compiler for BPF";
const LINKER: &str = "bpf-linker";

fn has(program: &str) -> bool {
    shell::find(program).is_some()
}

fn missing(purposes: &[Purpose]) -> Vec<&'static Requirement> {
    REQUIREMENTS
        .iter()
        .filter(|requirement| purposes.contains(&requirement.purpose) && !(requirement.present)())
        .collect()
}

fn announce(missing: &[&Requirement]) {
    for requirement in missing {
        eprintln!("missing: {}, which {}", requirement.what, requirement.why);
    }
}

/// Installs whatever is missing for these purposes.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<()> {
    let wanted = missing(purposes);
    if wanted.is_empty() {
        return Ok(());
    }
    announce(&wanted);
    let (toolchain, programs): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|requirement| requirement.purpose == Purpose::Build);
    let has_apt = has("apt-get");
    if has_apt {
        shell::run(&mut apt(&["apt-get", "update", "-qq"])?)?;
    }
    if !toolchain.is_empty() {
        if has_apt && knows(&toolchain) {
            install_packages(&toolchain)?;
            if bpf::linker().is_none() {
                build_linker()?;
            }
        } else {
            install_rustup_toolchain()?;
        }
    }
    if !programs.is_empty() {
        if !has_apt {
            let names: Vec<_> = programs
                .iter()
                .map(|requirement| requirement.what)
                .collect();
            bail!(
                "please install with this system's package manager: {}",
                names.join(", ")
            );
        }
        install_packages(&programs)?;
    }
    let left = missing(purposes);
    if let Some(first) = left.first() {
        announce(&left);
        bail!("{} is still missing after the installation", first.what);
    }
    Ok(())
}

fn packages<'a>(wanted: &'a [&Requirement]) -> impl Iterator<Item = &'static str> + 'a {
    wanted
        .iter()
        .flat_map(|requirement| requirement.packages)
        .copied()
}

/// Are these packages to be had here? Only Debian has a Rust compiler for BPF.
fn knows(wanted: &[&Requirement]) -> bool {
    packages(wanted).all(|package| {
        Command::new("apt-cache")
            .args(["show", package])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

/// Debian starts and enables a service (here nginx) as it is installed: not what someone who wants
/// to try this project asked for. This is Debian's own way to hold it back.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
# What goes wrong is on the error output; the rest is one line for each file.
"$@" > /dev/null || exit
case " $* " in *" nginx-light "*)
    if [ -d /run/systemd/system ]; then systemctl disable --quiet nginx; fi
esac
"#;

fn install_packages(wanted: &[&Requirement]) -> Result<()> {
    let names: Vec<_> = packages(wanted).collect();
    eprintln!("+ apt-get install {}", names.join(" "));
    let mut command = apt(&["sh", "-c", WITHOUT_SERVICES, "sh"])?;
    command
        .args(["apt-get", "install", "-y", "-qq", "--no-install-recommends"])
        .args(&names);
    let status = command.status().context("cannot start apt-get")?;
    if !status.success() {
        bail!("`apt-get install {}` failed ({status})", names.join(" "));
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<Command> {
    let mut command = shell::as_root("env").context("packages have to be installed")?;
    command
        .arg("DEBIAN_FRONTEND=noninteractive")
        .args(arguments);
    Ok(command)
}

fn build_linker() -> Result<()> {
    eprintln!(
        "building bpf-linker {}, about a minute",
        bpf::LINKER_VERSION
    );
    let mut cargo = shell::cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            bpf::LINKER_VERSION,
            "--locked",
        ])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", "/usr/lib/llvm-22");
    shell::run(&mut cargo)
}

/// A nightly compiler, which may build `core` itself, and the linker as its project releases it.
fn install_rustup_toolchain() -> Result<()> {
    if !bpf::has_nightly() {
        let options = ["--profile", "minimal", "--component", "rust-src"];
        let install = ["toolchain", "install", "nightly"];
        shell::run(Command::new("rustup").args(install).args(options))?;
    }
    if bpf::linker().is_none() {
        let folder = bpf::cargo_bin().context("neither CARGO_HOME nor HOME is set")?;
        let archive = format!(
            "https://github.com/aya-rs/bpf-linker/releases/download/v{}/\
             bpf-linker-{}-unknown-linux-musl.tar.zst",
            bpf::LINKER_VERSION,
            std::env::consts::ARCH
        );
        let fetch = format!(
            "curl -fsSL {archive} | tar --zstd -x -C '{}'",
            folder.display()
        );
        shell::run(Command::new("bash").args(["-o", "pipefail", "-c", &fetch]))?;
    }
    Ok(())
}
