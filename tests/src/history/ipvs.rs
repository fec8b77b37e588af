//! The IPVS of the kernel that this runs on, by ipvsadm.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::play::{Director, said};

/// A few ticks of the kernel's clock: then a connection that was replaced is gone.
const TICKS: Duration = Duration::from_millis(20);
/// Counters are shown as the estimator found them, which looks every two seconds.
const ESTIMATION: Duration = Duration::from_millis(2_100);

/// The kernel's IPVS.
pub struct Ipvs;

impl Director for Ipvs {
    fn restore(&mut self, lines: &str) -> Result<String> {
        thread::sleep(TICKS);
        let mut child = Command::new("ipvsadm")
            .arg("-R")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(lines.as_bytes())?;
        drop(stdin);
        Ok(said(&child.wait_with_output()?))
    }

    fn services(&mut self) -> Result<String> {
        thread::sleep(TICKS);
        Ok(fs::read_to_string("/proc/net/ip_vs")?)
    }

    fn connections(&mut self) -> Result<String> {
        // Where others expire while it is read, the kernel leaves out some of those that are there.
        let mut all = BTreeMap::new();
        for _ in 0..3 {
            thread::sleep(TICKS);
            let text = fs::read_to_string("/proc/net/ip_vs_conn")?;
            for line in text.lines() {
                let addresses: Vec<_> = line.split_whitespace().take(7).collect();
                all.insert(addresses.join(" "), line.to_owned());
            }
        }
        let lines: Vec<_> = all.into_values().collect();
        Ok(lines.join("\n"))
    }

    fn traffic(&mut self) -> Result<String> {
        thread::sleep(ESTIMATION);
        let output = Command::new("ipvsadm")
            .args(["-L", "-n", "--stats", "--exact"])
            .output()?;
        Ok(said(&output))
    }
}
