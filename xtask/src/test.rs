//! `cargo xtask test`.

use std::num::NonZero;
use std::{env, thread};

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Run the tests: the packet path on the host, the program in the kernel, the stories in the lab.
///
/// The stories start a director and real servers in network namespaces, which needs root. Without
/// root they are skipped, each with a line that says why; if CI is set they fail instead. Two run at a
/// time for each CPU, unless RUST_TEST_THREADS says how many.
/// tests/README.md is their index.
///
///   cargo xtask test                       all of them
///   cargo xtask test --test forwarding     one file or folder of stories
///   cargo xtask test nat                   tests with `nat` in their name
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Test {
    /// Only the stories of this file or folder in tests/tests.
    #[arg(long = "test", value_name = "FILE")]
    stories: Option<String>,
    /// Only tests with this in their name.
    filter: Option<String>,
    /// Options of the test harness, such as `--nocapture`.
    #[arg(last = true, value_name = "OPTIONS")]
    harness: Vec<String>,
}

impl Test {
    pub(crate) fn execute(&self) -> Result<()> {
        let mut purposes = vec![
            Purpose::Build,
            Purpose::Lab,
            Purpose::HealthChecks,
            Purpose::Vm,
        ];
        // Cluster managers, packages, a browser: only if their tests run.
        if self.stories.as_deref().is_none_or(|file| file == "cluster") {
            purposes.extend([Purpose::Cluster, Purpose::Package]);
        }
        if self.stories.as_deref().is_none_or(|file| file == "http") {
            purposes.push(Purpose::Web);
        }
        setup::ensure(&purposes)?;
        let mut programs = shell::cargo();
        programs.arg("build");
        let mut tests = shell::cargo();
        tests.arg("test");
        if let Some(file) = &self.stories {
            // The stories start these programs; cargo by itself builds only those of the tests' package.
            programs.arg("--bins");
            tests.args(["--package", "lvs-tests", "--test", file]);
        } else {
            // Programs and tests in one build: in two, most dependencies are compiled twice, since
            // tests want other features of them. No example of the documentation is a program:
            // rustdoc would read each crate to find that out.
            let all = ["--workspace", "--exclude", "lvs-ebpf", "--tests"];
            programs.args(all).arg("--bins");
            tests.args(all).arg("--no-fail-fast");
        }
        shell::run(&mut programs)?;
        tests.args(&self.filter).arg("--").args(&self.harness);
        // Stories wait most of their time, for each other's CPU least of all.
        if env::var_os("RUST_TEST_THREADS").is_none() {
            let cpus = thread::available_parallelism().map_or(1, NonZero::get);
            tests.env("RUST_TEST_THREADS", (2 * cpus).to_string());
        }
        shell::run(&mut tests)
    }
}
