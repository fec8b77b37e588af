//! One table for people, one file for machines.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::rig::Slice;

/// The measurement of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The case.
    pub name: String,
    /// Nanoseconds per packet beyond the floor: smallest of the rounds.
    pub net_ns: f64,
    /// The same with medians of the rounds.
    pub median_ns: f64,
    /// Nanoseconds per packet of the empty harness; of live frames, with a program that only sends them
    /// back.
    pub floor_ns: f64,
    /// The same for the least that forwards by the same table: what the machine takes for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yardstick_ns: Option<f64>,
    /// Millions of packets per second, where live frames were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpps: Option<f64>,
}

/// All rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The rows.
    pub cases: Vec<Row>,
    /// Milliseconds that the daemon's sweep over a million connections takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep_ms: Option<f64>,
}

impl Report {
    /// Prints the head of the table.
    pub fn begin() {
        println!(
            "{:<41} {:>8} {:>8} {:>8} {:>9} {:>8}",
            "case", "net ns", "median", "floor", "yardstick", "Mpps"
        );
    }

    /// Prints a row and keeps it.
    pub fn add(&mut self, row: Row) {
        let text =
            |number: Option<f64>| number.map_or_else(String::new, |number| format!("{number:.1}"));
        println!(
            "{:<41} {:>8.1} {:>8.1} {:>8.1} {:>9} {:>8}",
            row.name,
            row.net_ns,
            row.median_ns,
            row.floor_ns,
            text(row.yardstick_ns),
            text(row.mpps)
        );
        let _ = std::io::stdout().flush();
        self.cases.push(row);
    }

    /// Notes, and prints, how long sweeps over a million connections took.
    pub fn add_sweep(&mut self, times: impl Iterator<Item = Duration>) {
        if let Some(least) = times.min() {
            let milliseconds = least.as_secs_f64() * 1e3;
            println!("a sweep over these connections takes {milliseconds:.1} ms");
            self.sweep_ms = Some(milliseconds);
        }
    }

    /// Writes the file for machines.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// A row from the rounds of a case.
///
/// Each slice of a round is compared with the same slice of the other rounds, and the least time of each
/// counts: a slice that was interrupted says nothing about the program.
#[expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a few slices, of all rounds alike"
)]
pub fn row(name: &str, rounds: &[Vec<Slice>]) -> Row {
    let slices = || 0..rounds.first().map_or(0, Vec::len);
    let pick = |choose: fn(&mut [f64]) -> f64, time: &dyn Fn(&Slice) -> f64| {
        let chosen = slices().map(|index| {
            let mut times: Vec<f64> = rounds.iter().map(|round| time(&round[index])).collect();
            choose(&mut times)
        });
        chosen.sum::<f64>() / slices().len() as f64
    };
    let floor = pick(least, &|slice| slice.floor);
    let measured = rounds
        .iter()
        .flatten()
        .any(|slice| slice.yardstick.is_some());
    Row {
        name: name.to_owned(),
        net_ns: pick(least, &|slice| slice.director) - floor,
        median_ns: pick(median, &|slice| slice.director) - pick(median, &|slice| slice.floor),
        floor_ns: floor,
        yardstick_ns: measured
            .then(|| pick(least, &|slice| slice.yardstick.unwrap_or(f64::NAN)) - floor),
        mpps: None,
    }
}

fn least(times: &mut [f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
