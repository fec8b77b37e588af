//! `cargo xtask test`.

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Run the tests: the packet path on the host, the program in the kernel, the stories in the lab.
///
/// The stories start a director and real servers in network namespaces, which needs root. Without
/// root they are skipped, each with a line that says why; if CI is set they fail instead.
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
        // The stories start these programs; cargo by itself builds only those of the tests' package.
        shell::run(shell::cargo().args(["build", "--bins"]))?;
        let mut tests = shell::cargo();
        tests.arg("test");
        match &self.stories {
            Some(file) => tests.args(["--package", "lvs-tests", "--test", file]),
            // No example of the documentation is a program: rustdoc would read each crate to find that out.
            None => tests.args([
                "--workspace",
                "--exclude",
                "lvs-ebpf",
                "--tests",
                "--no-fail-fast",
            ]),
        };
        tests.args(&self.filter).arg("--").args(&self.harness);
        shell::run(&mut tests)
    }
}
