//! One table for people, one file for machines.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What was measured of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The case.
    pub name: String,
    /// Nanoseconds per packet beyond the empty harness: smallest of the rounds.
    pub net_ns: f64,
    /// The median of the rounds.
    pub median_ns: f64,
    /// Nanoseconds per packet of the empty harness.
    pub floor_ns: f64,
    /// Millions of packets per second, where live frames were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpps: Option<f64>,
}

/// All rows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The rows.
    pub cases: Vec<Row>,
}

impl Report {
    /// Prints the head of the table.
    pub fn begin() {
        println!(
            "{:<36} {:>8} {:>8} {:>8} {:>8}",
            "case", "net ns", "median", "floor", "Mpps"
        );
    }

    /// Prints a row and keeps it.
    pub fn add(&mut self, row: Row) {
        let mpps = row
            .mpps
            .map_or_else(String::new, |mpps| format!("{mpps:.1}"));
        println!(
            "{:<36} {:>8.1} {:>8.1} {:>8.1} {:>8}",
            row.name, row.net_ns, row.median_ns, row.floor_ns, mpps
        );
        let _ = std::io::stdout().flush();
        self.cases.push(row);
    }

    /// Writes the file for machines.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// A row from the rounds of a case: each the time in the harness and that of the harness alone.
pub fn row(name: &str, rounds: &[(f64, f64)]) -> Row {
    let floor = rounds
        .iter()
        .map(|round| round.1)
        .fold(f64::INFINITY, f64::min);
    let mut times: Vec<f64> = rounds.iter().map(|round| round.0).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let least = times.first().copied().unwrap_or(f64::NAN);
    Row {
        name: name.to_owned(),
        net_ns: least - floor,
        median_ns: median - floor,
        floor_ns: floor,
        mpps: None,
    }
}
