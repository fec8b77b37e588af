//! Builds the BPF object, so that plain `cargo build` embeds it in `lvsd`.
//!
//! Two toolchains can do that, and the installed one is used: Debian's `rustc-web` with a ready-built
//! `core` for BPF, or a rustup nightly with `rust-src`. Both need `bpf-linker`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

use toolchain::{Compiler, TARGET};

#[path = "../../xtask/src/toolchain.rs"]
mod toolchain;

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

    let Some(linker) = toolchain::linker() else {
        fail("bpf-linker is missing: run `cargo xtask setup`");
    };
    let Some(compiler) = Compiler::find() else {
        fail("no Rust compiler for BPF is installed: run `cargo xtask setup`");
    };
    let target_dir = out.join("bpf");
    let mut cargo = compiler.cargo(variable("CARGO"), "build");
    cargo
        .current_dir(&workspace)
        .args(["--bins", "--target-dir"])
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

fn rustflags(linker: &Path) -> String {
    [
        // Kernels from 6.1 on know it: 32-bit operations and atomics that return the old value.
        "-Ctarget-cpu=v3".to_owned(),
        // Headers start two bytes off a word: without it every field is loaded byte by byte.
        "-Ctarget-feature=+allows-misaligned-mem-access".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // Copies and zeroes of a known size become loads and stores of words. Otherwise they are calls of loops, byte by
        // byte: the verifier follows each round, and the program pays for it.
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
        format!("-Clinker={}", linker.display()),
    ]
    .join("\u{1f}")
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&format!("cargo did not set {name}")))
}

/// Ends the build with one line.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}
