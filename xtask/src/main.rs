//! `cargo xtask`: the commands of this repository, one file per verb.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod bpf;
mod build;
mod compare;
mod flood;
mod fuzz;
mod install;
mod lint;
mod manual;
mod measurement;
mod oracle;
mod package;
mod report;
mod run;
mod setup;
mod shell;
mod test;
mod toolchain;

/// Set up, build, run, test, measure, lint and install the director.
///
/// To try the director, run one command:
///
///   cargo xtask run
///
/// It installs missing programs (and names each with the reason), builds everything and starts the
/// lab: a client, a director and three real servers in network namespaces of their own. The demo
/// shows how requests are balanced. It does not touch the machine's own network.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Setup),
    Build(build::Build),
    Run(run::Run),
    Test(test::Test),
    Bench(bench::Bench),
    Compare(compare::Compare),
    Flood(flood::Flood),
    Fuzz(fuzz::Fuzz),
    Lint(lint::Lint),
    Oracle(oracle::Oracle),
    Install(install::Install),
    Uninstall(install::Uninstall),
    Package(package::Package),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Setup(setup) => setup.execute(),
        Verb::Build(_) => build::execute(),
        Verb::Run(run) => run.execute(),
        Verb::Test(test) => test.execute(),
        Verb::Bench(bench) => bench.execute(),
        Verb::Compare(_) => compare::execute(),
        Verb::Flood(flood) => flood.execute(),
        Verb::Fuzz(fuzz) => fuzz.execute(),
        Verb::Lint(_) => lint::execute(),
        Verb::Oracle(oracle) => oracle.execute(),
        Verb::Install(install) => install.execute(),
        Verb::Uninstall(uninstall) => uninstall.execute(),
        Verb::Package(package) => package.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
