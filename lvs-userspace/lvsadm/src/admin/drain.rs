//! `drain`: take a server out, then watch its connections end.

use std::io::Write;
use std::time::{Duration, Instant};

use super::arguments::Drain;
use super::failure::Failure;
use super::target::Target;
use lvs_api::client::Client;
use lvs_api::health::{AdminState, Health, Override};

/// Exit code: connections were left at the deadline.
const LEFT: u8 = 1;

/// How often connections are counted: half of the time in which the director counts them itself.
const PERIOD: Duration = Duration::from_millis(500);

/// Width of the bar in columns.
const BAR: u64 = 30;

/// Drains a server and waits; on a terminal with a line that changes in place, otherwise with a line for
/// each change.
pub(super) async fn run(
    client: &mut Client,
    order: &Drain,
    out: &mut impl Write,
    terminal: bool,
) -> Result<u8, Failure> {
    let health = client.health().await?;
    let target = Target::find(&health, &order.service, &order.server)?;
    let Target { service, server } = target;
    let state = AdminState::Drain;
    client
        .set_override(&Override::State {
            service,
            server,
            state,
        })
        .await?;

    let began = Instant::now();
    let mut progress = Progress::default();
    loop {
        let left = Left::count(&target, &client.health().await?);
        let over = order.timeout.is_some_and(|limit| began.elapsed() >= limit);
        let line = progress.line(&order.server, left);
        if terminal {
            // Back to the first column, and the rest of the old line away.
            write!(out, "\r{line}\x1b[K")?;
        } else if progress.changed(left) {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        if left.active == 0 || over {
            if terminal {
                writeln!(out)?;
            }
            return Ok(if left.active == 0 { 0 } else { LEFT });
        }
        let rest = order
            .timeout
            .map_or(PERIOD, |limit| limit.saturating_sub(began.elapsed()));
        tokio::time::sleep(PERIOD.min(rest)).await;
    }
}

/// Connections that a drained server still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    /// In use: they are waited for.
    active: u64,
    /// Closed by at least one side: nobody misses them.
    inactive: u64,
}

impl Left {
    fn count(target: &Target, health: &Health) -> Self {
        let mut left = Self {
            active: 0,
            inactive: 0,
        };
        // A server that a reload has taken out of the file has none left to wait for.
        for server in target.servers(health) {
            left.active += u64::from(server.active);
            left.inactive += u64::from(server.inactive);
        }
        left
    }
}

#[derive(Default)]
struct Progress {
    most: u64,
    told: Option<Left>,
}

impl Progress {
    fn line(&mut self, server: &str, left: Left) -> String {
        let Left { active, inactive } = left;
        if active == 0 {
            return format!("{server} is empty, {inactive} closing");
        }
        self.most = self.most.max(active);
        let done = (self.most - active) * BAR / self.most;
        let bar = "#".repeat(usize::try_from(done).unwrap_or(0))
            + &".".repeat(usize::try_from(BAR - done).unwrap_or(0));
        format!("{server} [{bar}] {active} left, {inactive} closing")
    }

    fn changed(&mut self, left: Left) -> bool {
        self.told.replace(left) != Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::sample;
    use super::*;

    #[test]
    fn connections_of_all_virtual_services_count_unless_one_is_named() {
        let mut health = sample();
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
        let mut progress = Progress::default();
        let hashes = |line: String| line.matches('#').count();
        assert_eq!(hashes(progress.line("rs1", left(10))), 0);
        assert_eq!(hashes(progress.line("rs1", left(5))), 15);
        assert_eq!(progress.line("rs1", left(0)), "rs1 is empty, 1 closing");
        assert!(progress.changed(left(5)));
        assert!(!progress.changed(left(5)));
        assert!(progress.changed(left(4)));
    }
}
