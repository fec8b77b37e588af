//! Measures floods of the connection table at full size: what becomes of established connections, and of honest
//! clients that come meanwhile.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use lvs_tests::flood::{Attack, Outcome, Size, run};

/// Floods the real program's connection table: by default ten times the entries of the default table in a minute,
/// of each kind of flood. Fails if an established connection is lost, or more than 1 % of the honest clients are not
/// served (3 % where nothing recycles the flood's connections).
#[derive(Parser)]
struct Arguments {
    /// Entries of the table
    #[arg(long, default_value_t = 524_288)]
    entries: u32,
    /// Flows of the attacker, as a multiple of the table
    #[arg(long, default_value_t = 10)]
    times: u32,
    /// Seconds that they take
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Established connections that are there before
    #[arg(long, default_value_t = 1_000)]
    established: u32,
    /// Honest clients with a round trip of 200 ms that come meanwhile
    #[arg(long, default_value_t = 2_000)]
    honest: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut short = Vec::new();
    for attack in Attack::ALL {
        let size = Size {
            entries: arguments.entries,
            // One that nothing recycles needs no more than the table to fill it.
            flows: match attack {
                Attack::Proven => arguments.entries,
                _ => arguments.entries.saturating_mul(arguments.times),
            },
            time: Duration::from_secs(arguments.seconds),
            established: arguments.established,
            honest: arguments.honest,
        };
        let Some(outcome) = run(attack, size) else {
            bail!("only root can load BPF programs");
        };
        let outcome = outcome?;
        let percent = |index: usize| {
            f64::from(outcome.served[index]) * 100.0 / f64::from(outcome.honest[index].max(1))
        };
        let [stateless, dropped] = outcome.without_entry;
        println!(
            "{attack:?}: {} flows in {:.1} s; {} of {} established lost; new clients served: direct {:.2} %, \
             NAT {:.2} %; table at most {} % full; packets without an entry: {stateless} forwarded, {dropped} dropped",
            size.flows,
            outcome.took.as_secs_f64(),
            outcome.lost,
            size.established,
            percent(0),
            percent(1),
            outcome.fill,
        );
        let percent = if attack == Attack::Proven { 97 } else { 99 };
        if !holds(&outcome, percent) {
            short.push(format!("{attack:?}"));
        }
    }
    ensure!(short.is_empty(), "too many were lost: {}", short.join(", "));
    Ok(())
}

/// True if no established connection was lost, and so much of the honest clients were served.
fn holds(outcome: &Outcome, percent: u32) -> bool {
    let mut clients = outcome.honest.into_iter().zip(outcome.served);
    outcome.lost == 0 && clients.all(|(honest, served)| served * 100 >= honest * percent)
}
