//! `drain`: drains a server, and waits until its connections have ended.

use std::io::Write;
use std::time::{Duration, Instant};

use lvs_api::client::Client;
use lvs_api::health::{AdminState, Health, Override};

use super::arguments::Drain;
use super::failure::Failure;
use super::progress::ProgressLine;
use super::target::Target;

/// Exit code: connections were left at the deadline.
const LEFT: u8 = 1;

/// Interval at which connections are counted: half of the director's own.
const PERIOD: Duration = Duration::from_millis(500);

/// Width of the bar in columns.
const WIDTH: u64 = 30;

/// Drains a server and waits; on a terminal with a line that changes in place, otherwise with a line for
/// each change.
pub(super) async fn run(
    client: &mut Client,
    arguments: &Drain,
    out: &mut impl Write,
    terminal: bool,
) -> Result<u8, Failure> {
    let health = client.health().await?;
    let target = Target::find(&health, &arguments.service, &arguments.server)?;
    let Target { service, server } = target;
    let state = AdminState::Drain;
    client
        .set_override(&Override::State {
            service,
            server,
            state,
            volatile: arguments.volatile,
        })
        .await?;

    let began = Instant::now();
    let mut bar = Bar::default();
    let mut progress = ProgressLine::new(terminal);
    loop {
        let left = Left::count(&target, &client.health().await?);
        let over = arguments
            .timeout
            .is_some_and(|limit| began.elapsed() >= limit);
        progress.show(out, bar.line(&arguments.server, left))?;
        if left.active == 0 || over {
            progress.end(out)?;
            return Ok(if left.active == 0 { 0 } else { LEFT });
        }
        let rest = arguments
            .timeout
            .map_or(PERIOD, |limit| limit.saturating_sub(began.elapsed()));
        tokio::time::sleep(PERIOD.min(rest)).await;
    }
}

/// Connections that a drained server still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    /// Connections in use, which are waited for.
    active: u64,
    /// Connections closed by at least one side, which are not waited for.
    inactive: u64,
}

impl Left {
    fn count(target: &Target, health: &Health) -> Self {
        let mut left = Self {
            active: 0,
            inactive: 0,
        };
        // A server that a reload removed from the file has none left to wait for.
        for server in target.servers(health) {
            left.active += u64::from(server.active);
            left.inactive += u64::from(server.inactive);
        }
        left
    }
}

/// Progress bar for the share of connections that have ended.
#[derive(Default)]
struct Bar {
    /// Most connections seen so far.
    most: u64,
}

impl Bar {
    fn line(&mut self, server: &str, left: Left) -> String {
        let Left { active, inactive } = left;
        if active == 0 {
            return format!("{server} is empty, {inactive} closing");
        }
        self.most = self.most.max(active);
        let done = (self.most - active) * WIDTH / self.most;
        let bar = "#".repeat(usize::try_from(done).unwrap_or(0))
            + &".".repeat(usize::try_from(WIDTH - done).unwrap_or(0));
        format!("{server} [{bar}] {active} left, {inactive} closing")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn connections_of_all_virtual_services_count_unless_one_is_named() {
        let mut health = sample::health();
        let mut second = health.services[0].clone();
        second.id = health.services[1].id;
        health.services.push(second);
        let Ok(all) = "all".parse();
        let target = Target::find(&health, &all, "10.0.10.1").expect("it is there");
        let left = Left::count(&target, &health);
        assert_eq!((left.active, left.inactive), (24, 6));
        let Ok(one) = "www".parse();
        health.services.pop();
        let target = Target::find(&health, &one, "10.0.10.1").expect("it is there");
        assert_eq!(Left::count(&target, &health).active, 12);
    }

    #[test]
    fn the_bar_grows_as_connections_end() {
        let left = |active| Left {
            active,
            inactive: 1,
        };
        let mut bar = Bar::default();
        let hashes = |line: String| line.matches('#').count();
        assert_eq!(hashes(bar.line("rs1", left(10))), 0);
        assert_eq!(hashes(bar.line("rs1", left(5))), 15);
        assert_eq!(bar.line("rs1", left(0)), "rs1 is empty, 1 closing");
    }
}
