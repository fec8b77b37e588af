//! The lab by hand: `lab demo` is what `cargo xtask run` shows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lvs_tests::lab;

mod demo;
mod screen;

/// The lab: network namespaces with a client, a director and three real servers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Demo),
    /// Remove what killed labs left behind.
    Clean,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Demo(demo) => demo.execute(),
        Verb::Clean => lab::close_leftovers().map(|removed| {
            for id in removed {
                println!("removed lab {id}");
            }
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
