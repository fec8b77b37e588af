//! `cargo xtask setup`: installs the programs that the other verbs need.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::shell;
use crate::toolchain::{self, Compiler};
use requirements::{REQUIREMENTS, Requirement};

pub(crate) use requirements::Purpose;

mod requirements;

/// bpf-linker's version; its LLVM must have the major version of the compiler's.
const LINKER_VERSION: &str = "0.13.0";

/// Install missing programs for the build, the lab and the tests.
///
/// It names each missing program with the reason before it installs anything. If nothing is missing,
/// it takes no time. Every other verb does the same for its own needs.
///
/// On Debian and its derivatives packages come from apt-get. Elsewhere the BPF toolchain comes from
/// rustup (nightly with rust-src); install the other programs that it names yourself.
#[derive(Args)]
pub(crate) struct Setup {
    /// Only name what is missing.
    #[arg(long)]
    dry_run: bool,
}

impl Setup {
    pub(crate) fn execute(&self) -> Result<()> {
        let all = [
            Purpose::Build,
            Purpose::Lab,
            Purpose::HealthChecks,
            Purpose::Web,
            Purpose::Vm,
            Purpose::Cluster,
            Purpose::Package,
        ];
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

fn has(program: &str) -> bool {
    shell::find(program).is_some()
}

fn missing(purposes: &[Purpose]) -> Vec<&'static Requirement> {
    REQUIREMENTS
        .iter()
        .filter(|requirement| purposes.contains(&requirement.purpose) && !requirement.is_present())
        .collect()
}

fn announce(missing: &[&Requirement]) {
    for requirement in missing {
        eprintln!("missing: {}, which {}", requirement.what, requirement.why);
    }
}

/// Installs missing programs for these purposes.
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
        if has_apt && are_available(&toolchain) {
            install_packages(&toolchain)?;
            if toolchain::linker().is_none() {
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

/// Looks for packages in apt's lists: only Debian has a Rust compiler for BPF.
fn are_available(wanted: &[&Requirement]) -> bool {
    packages(wanted).all(|package| {
        Command::new("apt-cache")
            .args(["show", package])
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

/// Installs packages without starting their services. Debian starts and enables a service (nginx,
/// slapd …) with its package; `policy-rc.d` prevents the start, and newly enabled units are disabled
/// again.
const WITHOUT_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
fi
enabled() { systemctl list-unit-files --state=enabled --no-legend --no-pager | cut -d' ' -f1; }
if [ -d /run/systemd/system ]; then before=$(enabled); fi
# Errors go to stderr; stdout has one line for each file.
"$@" > /dev/null || exit
if [ -d /run/systemd/system ]; then
    for unit in $(enabled); do
        case " $(echo $before) " in
            *" $unit "*) ;;
            *) systemctl disable --quiet "$unit" ;;
        esac
    done
fi
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
    eprintln!("building bpf-linker {LINKER_VERSION}, about a minute");
    let mut cargo = shell::cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            LINKER_VERSION,
            "--locked",
        ])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", "/usr/lib/llvm-22");
    shell::run(&mut cargo)
}

/// A nightly compiler, which may build `core` itself, and the linker as its project releases it.
fn install_rustup_toolchain() -> Result<()> {
    if Compiler::find().is_none() {
        let options = ["--profile", "minimal", "--component", "rust-src"];
        let install = ["toolchain", "install", "nightly"];
        shell::run(Command::new("rustup").args(install).args(options))?;
    }
    if toolchain::linker().is_none() {
        let folder = toolchain::cargo_bin().context("neither CARGO_HOME nor HOME is set")?;
        let archive = format!(
            "https://github.com/aya-rs/bpf-linker/releases/download/v{}/\
             bpf-linker-{}-unknown-linux-musl.tar.zst",
            LINKER_VERSION,
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
