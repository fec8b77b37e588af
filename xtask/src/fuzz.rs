//! `cargo xtask fuzz`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::setup::{self, Purpose};
use crate::shell;

/// Search for input that does harm, in everything that reads what others send.
///
/// The targets are the property tests that `cargo xtask test` runs for a second or so: here they run with other
/// random input, again and again, for a given time. A failure is made as small as it can be and printed; its seed is
/// written to a folder `proptest-regressions` beside the test, to be committed: every later run begins with it.
///
///   cargo xtask fuzz                     each target for a minute
///   cargo xtask fuzz --for 10m frames    one of them
///   cargo xtask fuzz --list
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Fuzz {
    /// Targets [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Time for each target: 30s, 10m, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1m")]
    time: Duration,
    /// Only list the targets.
    #[arg(long)]
    list: bool,
}

/// A set of property tests.
struct Target {
    name: &'static str,
    what: &'static str,
    /// Arguments of `cargo test`: the package, the test program, the names of the tests.
    test: &'static [&'static str],
    /// Random inputs in one run, of a few seconds.
    cases: u32,
}

const TARGETS: &[Target] = &[
    Target {
        name: "frames",
        what: "frames through the whole packet path, the fast path beside the stages",
        test: &["-p", "lvs-common", "--test", "director", "random_frames"],
        cases: 4_000,
    },
    Target {
        name: "socket-buffers",
        what: "the same as the TC program gets them",
        test: &["-p", "lvs-common", "--test", "buffers", "random_frames"],
        cases: 4_000,
    },
    Target {
        name: "ftp",
        what: "messages of FTP's control connections",
        test: &["-p", "lvs-common", "--lib", "ftp"],
        cases: 10_000,
    },
    Target {
        name: "sync-messages",
        what: "messages of IPVS's sync protocol",
        test: &["-p", "lvs-replication", "--lib", "ipvs::wire"],
        cases: 20_000,
    },
    Target {
        name: "peer-items",
        what: "records and frames of peers",
        test: &["-p", "lvs-replication", "--lib", "peer::"],
        cases: 5_000,
    },
    Target {
        name: "cf",
        what: "files of ldirectord",
        test: &["-p", "lvs-config", "--lib", "fuzz"],
        cases: 2_000,
    },
    Target {
        name: "lines",
        what: "lines of ipvsadm -R, and rules of iptables-save",
        test: &["-p", "lvs-ipvsadm", "--lib", "--"],
        cases: 20_000,
    },
    Target {
        name: "answers",
        what: "answers to health checks: HTTP, DNS, RADIUS, Redis, SIP, ping",
        test: &["-p", "lvs-health", "--lib", "harm"],
        cases: 4_000,
    },
];

impl Fuzz {
    pub(crate) fn execute(&self) -> Result<()> {
        if self.list {
            for Target { name, what, .. } in TARGETS {
                println!("{name:<16} {what}");
            }
            return Ok(());
        }
        let mut chosen = Vec::new();
        for name in &self.targets {
            match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => chosen.push(target),
                None => bail!("there is no target {name}: `cargo xtask fuzz --list`"),
            }
        }
        if chosen.is_empty() {
            chosen.extend(TARGETS);
        }
        setup::ensure(&[Purpose::Build])?;
        for target in chosen {
            target.run(self.time)?;
        }
        Ok(())
    }
}

impl Target {
    /// Runs it until the time is over, each time with other input.
    fn run(&self, time: Duration) -> Result<()> {
        // The time begins when everything is compiled.
        shell::run(
            shell::cargo()
                .arg("test")
                .args(self.without_filter())
                .arg("--no-run"),
        )?;
        let begin = Instant::now();
        let mut runs = 0_u32;
        while begin.elapsed() < time {
            let mut test = shell::cargo();
            test.args(["test", "--quiet"]).args(self.test);
            test.env("PROPTEST_CASES", self.cases.to_string());
            shell::run(&mut test)?;
            runs += 1;
        }
        let (name, cases) = (self.name, u64::from(runs) * u64::from(self.cases));
        let seconds = begin.elapsed().as_secs();
        println!("{name}: {cases} inputs of each test in {seconds} s, no harm");
        Ok(())
    }

    /// The package and the test program.
    fn without_filter(&self) -> &[&'static str] {
        let is_option = |word: &&str| word.starts_with('-');
        let end = match self.test {
            [_, _, "--lib", ..] => 3,
            [_, _, "--test", ..] => 4,
            words => words.iter().take_while(|word| is_option(word)).count(),
        };
        &self.test[..end.min(self.test.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_compiled_without_its_filter() {
        for target in TARGETS {
            let compiled = target.without_filter();
            assert!(
                compiled.len() == 3 || compiled.len() == 4,
                "{}",
                target.name
            );
            assert_eq!(compiled[0], "-p", "{}", target.name);
        }
    }
}
