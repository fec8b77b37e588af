//! Builds the BPF object, so that plain `cargo build` embeds it in `lvsd`.
//!
//! Two toolchains can do that, and whichever is there is used: Debian's `rustc-web` with a ready-built
//! `core` for BPF, or a rustup nightly with `rust-src`. Both need `bpf-linker`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const TARGET: &str = "bpfel-unknown-none";
/// Debian's compiler by its full path: rustup's come first in PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";

fn main() {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(variable("OUT_DIR"));
    for watched in ["lvs-ebpf", "lvs-common", "Cargo.toml", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    println!("cargo::rerun-if-env-changed=PATH");

    let Some(linker) = find_linker() else {
        fail("bpf-linker is missing: run `cargo xtask setup`");
    };
    let Some(mut cargo) = compiler() else {
        fail("no Rust compiler for BPF is installed: run `cargo xtask setup`");
    };
    let target_dir = out.join("bpf");
    cargo
        .current_dir(&workspace)
        .args([
            "--package",
            "lvs-ebpf",
            "--bins",
            "--profile",
            "bpf",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&linker))
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS");
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!(
            "the BPF object did not build ({status}): see above"
        )),
        Err(error) => fail(&format!("cannot start cargo for the BPF object: {error}")),
    }
    for object in ["director", "bench"] {
        let built = target_dir.join(TARGET).join("bpf").join(object);
        if built.exists() {
            let to = out.join(format!("{object}.o"));
            if let Err(error) = std::fs::copy(&built, &to) {
                fail(&format!(
                    "cannot copy {} to {}: {error}",
                    built.display(),
                    to.display()
                ));
            }
        }
    }
}

/// `cargo build` with a compiler that can make BPF code.
fn compiler() -> Option<Command> {
    if Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CORE).exists() {
        let mut cargo = Command::new(variable("CARGO"));
        // The target is a tier 3 one and its atomics and assembly are unstable.
        cargo
            .arg("build")
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1");
        return Some(cargo);
    }
    let sysroot = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).ok()?.trim());
    if !sysroot.join("lib/rustlib/src/rust/library/core").exists() {
        return None;
    }
    let mut cargo = Command::new("rustup");
    cargo
        .args(["run", "nightly", "cargo", "build", "-Zbuild-std=core"])
        .env_remove("RUSTC")
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    Some(cargo)
}

fn rustflags(linker: &Path) -> String {
    [
        // Kernels from 6.1 on know it: 32-bit operations and atomics that return the old value.
        "-Ctarget-cpu=v3".to_owned(),
        // Headers start two bytes off a word: without it every field is loaded byte by byte.
        "-Ctarget-feature=+allows-misaligned-mem-access".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
    ]
    .join("\u{1f}")
}

fn find_linker() -> Option<PathBuf> {
    let home_bin = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .map(|home| home.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(home_bin)
        .map(|folder| folder.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

/// Ends the build with one line.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
