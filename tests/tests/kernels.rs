//! The verifier accepts the program: on this kernel and on the oldest one that is supported.

use std::path::{Path, PathBuf};

use lvs_tests::lab::{self, available};
use lvs_tests::vm::{self, Kernel};

/// The verifier gives up at a million.
const INSTRUCTIONS_AT_MOST: u64 = 500_000;

/// Reads `lvsd --verify`: the largest number of instructions verified for any program.
fn verified(said: &str) -> u64 {
    let numbers = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        rest.strip_suffix(" bytes of code")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    numbers
        .max()
        .unwrap_or_else(|| panic!("no number of instructions: {said}"))
}

fn lvsd() -> PathBuf {
    lab::built("lvsd").unwrap()
}

#[test]
fn the_verifier_of_this_kernel_accepts_the_program() {
    if !available() {
        return;
    }
    let output = std::process::Command::new(lvsd())
        .arg("--verify")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("this kernel: {}", said.trim());
    assert!(verified(&said) < INSTRUCTIONS_AT_MOST, "{said}");
}

#[test]
fn the_verifier_of_debians_kernel_6_1_accepts_the_program() {
    if lab::skipped(vm::check()) {
        return;
    }
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    assert!(kernel.release().starts_with("6.1."), "{}", kernel.release());
    let said = kernel.run(&[&lvsd()], "uname -r; lvsd --verify").unwrap();
    println!("{}", said.replace('\n', ": "));
    assert!(verified(&said) < INSTRUCTIONS_AT_MOST, "{said}");
}
