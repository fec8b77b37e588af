//! The lab by hand: `cargo xtask run` runs `lab demo`.

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
    /// Remove the remains of killed labs.
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
