//! A history is played: commands by ipvsadm, packets on the wire, and readings between.

use std::process::Output;

use anyhow::{Result, ensure};

use super::answer::Answers;
use super::packet::Packet;
use super::wire::Wire;
use super::{History, MARKER, MARKER_SERVER, Step, readings, server_address};

/// A director, as histories command and read it.
pub trait Director {
    /// Gives lines to `ipvsadm -R`; what that prints, and its exit code in brackets unless it is 0.
    fn restore(&mut self, lines: &str) -> Result<String>;
    /// `/proc/net/ip_vs`.
    fn services(&mut self) -> Result<String>;
    /// `/proc/net/ip_vs_conn`.
    fn connections(&mut self) -> Result<String>;
    /// `ipvsadm -Ln --stats --exact`.
    fn traffic(&mut self) -> Result<String>;
}

/// Prepares a director for histories: none lasts so long that a connection expires, but those of earlier ones do.
pub fn begin(director: &mut impl Director) -> Result<()> {
    let server = server_address(MARKER_SERVER);
    let port = MARKER.port();
    let lines = format!(
        "--set 60 60 60\n-A -u {MARKER} -s rr -o\n-a -u {MARKER} -r {server}:{port} -g -w 1\n"
    );
    let said = director.restore(&lines)?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// The output of a program, and its exit code in brackets unless it is 0.
pub fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    match output.status.code() {
        Some(0) => said.into_owned(),
        code => format!("{said}[{}]", code.unwrap_or(-1)),
    }
}

/// Plays a history; the answers to its steps.
pub fn play(director: &mut impl Director, wire: &Wire, history: &History) -> Result<Answers> {
    let seed = history.seed;
    let mut answers = Vec::new();
    // Commands that follow each other are given together, and so are packets.
    let is_alike = |(_, one): &(usize, Step), (_, other): &(usize, Step)| {
        std::mem::discriminant(one) == std::mem::discriminant(other) && one.is_counted()
    };
    for steps in history.steps.chunk_by(is_alike) {
        let lines: String = steps.iter().filter_map(|(_, step)| line(step)).collect();
        let packets: Vec<_> = steps.iter().filter_map(|(_, step)| packet(step)).collect();
        match steps {
            [(_, Step::Services), ..] => {
                answers.push(readings::services(seed, &director.services()?));
            }
            [(_, Step::Connections), ..] => {
                answers.push(readings::connections(seed, &director.connections()?));
            }
            [(_, Step::Traffic), ..] => {
                answers.push(readings::traffic(seed, &director.traffic()?));
            }
            _ if packets.is_empty() => {
                let said = director.restore(&lines)?;
                answers.extend((1..steps.len()).map(|_| String::new()));
                let words: Vec<_> = said.split_whitespace().collect();
                answers.push(words.join("_"));
            }
            _ => {
                let letters = wire.exchange(&packets)?;
                answers.extend(letters.into_iter().map(String::from));
            }
        }
    }
    Ok(Answers(answers))
}

fn line(step: &Step) -> Option<String> {
    match step {
        Step::Command(line) => Some(format!("{line}\n")),
        _ => None,
    }
}

fn packet(step: &Step) -> Option<Packet> {
    match step {
        Step::Packet(packet) => Some(*packet),
        _ => None,
    }
}
