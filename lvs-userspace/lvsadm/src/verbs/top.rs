//! `top`: a screen that lvs-top draws.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use lvs_api::client::Client;
use lvs_top::{Connector, Ended, Options, Tab, TopError};

use super::failure::Failure;
use super::time::time;
use crate::options::SIGNALLED;

/// Shortest time between two looks: each costs lvsd some work.
const SHORTEST: Duration = Duration::from_millis(100);

/// Longest.
const LONGEST: Duration = Duration::from_hours(24);

/// Show services and real servers by rate, health checks, verdicts, tables and peers, on a screen as htop's
///
/// h or F1 on the screen explains its keys. lvsd is asked for what the page shows, once per interval. If it goes
/// away, the screen says so, and goes on when it is back. Without colours if NO_COLOR is set.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Top {
    /// The first page
    #[arg(value_name = "PAGE", value_parser = pages(), default_value = Tab::Services.name())]
    page: Tab,
    /// From one look at lvsd to the next (`500ms`, `2s`, or seconds)
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "1s")]
    interval: Duration,
    /// Print the page once as plain text, all its rows with exact numbers, and exit
    ///
    /// For scripts. Packets a second by verdict take two looks, one interval apart.
    #[arg(long)]
    once: bool,
    /// Only rows that contain this; `A|B`: one of both
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// Sort by this column of the first page [default: packets; of checks what is wrong first]
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  lvsadm top
  lvsadm top checks --filter 'down|unknown'
  lvsadm top servers --once --sort active";

/// Names of pages, which shells complete.
fn pages() -> impl TypedValueParser<Value = Tab> {
    let names = PossibleValuesParser::new(Tab::ALL.map(Tab::name));
    names.try_map(|word| {
        let named = Tab::ALL.into_iter().find(|tab| tab.name() == word);
        named.ok_or("there is no such page")
    })
}

fn interval(word: &str) -> Result<Duration, String> {
    match time(word)? {
        interval if interval < SHORTEST => Err("it is at least 100ms".to_owned()),
        interval if interval > LONGEST => Err("it is at most a day".to_owned()),
        interval => Ok(interval),
    }
}

/// Shows the screen, or prints a page; the exit code.
pub(super) async fn run(
    mut client: Client,
    connector: Connector,
    arguments: Top,
    out: &mut impl Write,
) -> Result<u8, Failure> {
    let options = Options {
        tab: arguments.page,
        interval: arguments.interval,
        filter: arguments.filter,
        sort: arguments.sort,
        colour: std::env::var_os("NO_COLOR").is_none(),
    };
    if arguments.once {
        lvs_top::once(&mut client, &options, out).await?;
        return Ok(0);
    }
    match lvs_top::run(client, connector, &options).await? {
        Ended::Quit => Ok(0),
        Ended::Signal(number) => Ok(SIGNALLED + u8::try_from(number).unwrap_or_default()),
    }
}

impl From<TopError> for Failure {
    fn from(error: TopError) -> Self {
        match error {
            TopError::Daemon(error) => error.into(),
            TopError::Usage(text) => Self::Usage(text),
            TopError::Output(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_look_costs_something() {
        assert_eq!(interval("100ms"), Ok(SHORTEST));
        assert_eq!(interval("2"), Ok(Duration::from_secs(2)));
        for wrong in ["0", "99ms", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_have_names() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            top: Top,
        }
        for tab in Tab::ALL {
            let line = Line::try_parse_from(["top", tab.name()]);
            assert_eq!(line.ok().map(|line| line.top.page), Some(tab));
        }
        let refused = Line::try_parse_from(["top", "nodes"]).err();
        let refused = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("verdicts, tables, peers]"), "{refused}");
    }
}
