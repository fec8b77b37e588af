//! The log of the programs themselves, as lines of the daemon's log.

use std::sync::Arc;
use std::time::Duration;

use lvs_common::diagnosis::Level;
use lvs_dataplane::kernel::ProgramLine;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{debug, error, info, trace, warn};

use super::interfaces::Interfaces;
use super::stop::ended;

/// Between two looks. Each CPU logs so few lines a second ([`lvs_common::abi::ProgramNote::LINES`]) that they find room
/// meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// Lines of a look at most: those of many CPUs are not to fill the log.
const LINES: usize = 40;

/// Logs what the programs log, until the daemon ends.
pub(super) async fn follow(interfaces: Arc<Mutex<Interfaces>>, stopped: watch::Receiver<()>) {
    let mut end = std::pin::pin!(ended(stopped));
    loop {
        tokio::select! {
            () = &mut end => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let interfaces = Arc::clone(&interfaces);
        // The lock may be held for as long as the kernel verifies programs.
        match tokio::task::spawn_blocking(move || interfaces.lock().read_log()).await {
            Ok(lines) => lines_of_a_look(lines).iter().for_each(log),
            Err(error) => {
                error!("the log of the programs is not read any more: {error}");
                return;
            }
        }
    }
}

/// As many lines as are logged of a look, the most important first.
fn lines_of_a_look(mut lines: Vec<ProgramLine>) -> Vec<ProgramLine> {
    if lines.len() > LINES {
        lines.sort_by_key(|line| line.level);
        let text = format!(
            "{} further lines of the programs were left out",
            lines.len() - LINES
        );
        lines.truncate(LINES);
        lines.push(ProgramLine {
            level: Level::Warn,
            text,
        });
    }
    lines
}

fn log(line: &ProgramLine) {
    let text = &line.text;
    match line.level {
        Level::Error => error!(target: crate::PROGRAM_LOG, "{text}"),
        Level::Warn => warn!(target: crate::PROGRAM_LOG, "{text}"),
        Level::Info => info!(target: crate::PROGRAM_LOG, "{text}"),
        Level::Debug => debug!(target: crate::PROGRAM_LOG, "{text}"),
        Level::Trace => trace!(target: crate::PROGRAM_LOG, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let line = |level, number: usize| ProgramLine {
            level,
            text: number.to_string(),
        };
        let few = vec![line(Level::Trace, 1), line(Level::Error, 2)];
        assert_eq!(lines_of_a_look(few.clone()), few);
        let mut many: Vec<_> = (0..100).map(|number| line(Level::Trace, number)).collect();
        many.push(line(Level::Error, 100));
        let cut = lines_of_a_look(many);
        assert_eq!(cut.len(), LINES + 1);
        assert_eq!(cut[0], line(Level::Error, 100));
        assert!(
            cut[LINES].text.starts_with("61 further lines"),
            "{:?}",
            cut[LINES]
        );
    }
}
