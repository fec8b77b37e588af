//! `monitorfile`: a line for each probe.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use lvs_api::model::{ServerId, ServiceId};
use tokio::sync::mpsc;
use tracing::warn;

use super::check::Check;
use super::outcome::Outcome;
use super::tables::protocol_name;

/// Time as C's `ctime` writes it: `Sat Nov 21 16:06:17 2026`.
const CTIME: &str = "%a %b %e %H:%M:%S %Y";

/// Lines that wait for the disk before further ones are lost.
const WAITING: usize = 10_000;

/// Appends lines to files by a task of its own, so that no caller waits for the disk.
#[derive(Debug)]
pub(crate) struct Monitor {
    lines: mpsc::Sender<(PathBuf, String)>,
    lost: bool,
}

impl Monitor {
    /// Starts the task.
    pub(crate) fn start() -> Self {
        let (lines, received) = mpsc::channel(WAITING);
        tokio::spawn(write(received));
        Self { lines, lost: false }
    }

    /// Appends a line for an outcome: `[time] [process] check [up|down] sentence`.
    pub(crate) fn append(
        &mut self,
        file: &std::path::Path,
        service: &ServiceId,
        server: ServerId,
        check: &Check,
        outcome: &Outcome,
    ) {
        let (name, protocol) = (check.kind.name(), protocol_name(service));
        let state = if outcome.good { "up" } else { "down" };
        let line = format!(
            "[{}] [{}] {name}:{protocol}:{} [{state}] {}\n",
            chrono::Local::now().format(CTIME),
            std::process::id(),
            server.0,
            outcome.text
        );
        let lost = self.lines.try_send((file.to_owned(), line)).is_err();
        if lost && !self.lost {
            warn!("lines of {} are lost: the disk is too slow", file.display());
        }
        self.lost = lost;
    }
}

async fn write(mut lines: mpsc::Receiver<(PathBuf, String)>) {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, WAITING).await > 0 {
        let mut by_file: BTreeMap<PathBuf, String> = BTreeMap::new();
        for (file, line) in batch.drain(..) {
            by_file.entry(file).or_default().push_str(&line);
        }
        let work = move || {
            for (file, text) in by_file {
                // Opened each time: log rotation needs no signal.
                let opened = OpenOptions::new().create(true).append(true).open(&file);
                if let Err(error) = opened.and_then(|mut open| open.write_all(text.as_bytes())) {
                    warn!("cannot write {}: {error}", file.display());
                }
            }
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            return;
        }
    }
}
