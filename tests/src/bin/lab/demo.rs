//! Requests with every forwarding method over IPv4 and IPv6, and who answered them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use lvs_api::model::{Family, Method, Protocol};
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::director::services;
use lvs_tests::lab::{self, Arms, Lab};
use lvs_tests::pairs;

use crate::screen::{self, Screen};

/// Requests a virtual address gets in one round.
const REQUESTS: usize = 6;
/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// Watch the director balance: every forwarding method, IPv4 and IPv6.
///
/// Ends on Ctrl-C or after the given time; nothing is left behind.
#[derive(Args)]
pub(crate) struct Demo {
    /// End after this many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// A virtual address and who answered for it.
pub(crate) struct Row {
    pub(crate) method: Method,
    pub(crate) family: Family,
    pub(crate) address: IpAddr,
    /// Answers of each real server.
    pub(crate) answers: [u64; Lab::SERVERS as usize],
    pub(crate) failed: u64,
}

impl Demo {
    pub(crate) fn execute(&self) -> Result<()> {
        let end = self
            .seconds
            .map(|seconds| Instant::now() + Duration::from_secs(seconds));
        // A signal is the usual end of a demo, and no failure.
        lab::exit_code_on_signal(0);
        for id in lab::close_leftovers()? {
            eprintln!("removed the remains of killed lab {id}");
        }
        let mut screen = Screen::new();
        screen::progress("making network namespaces: a client, a director, three real servers");
        let lab = Lab::new(Arms::Two).context("cannot make the lab")?;
        screen::progress("starting lvsd in the director's namespace");
        lab.director.start_configured(&services(&[Protocol::Tcp]))?;
        let mut rows = rows();
        loop {
            for row in &mut rows {
                row.ask(&lab);
            }
            let over = end.is_some_and(|end| Instant::now() >= end);
            screen.show(&rows, &lab, over)?;
            if over {
                break;
            }
            let left = end.map_or(PAUSE, |end| end.saturating_duration_since(Instant::now()));
            std::thread::sleep(PAUSE.min(left));
        }
        drop(lab);
        screen::progress("ended; nothing is left behind");
        Ok(())
    }
}

fn rows() -> Vec<Row> {
    pairs(METHODS, FAMILIES)
        .map(|(method, family)| Row {
            method,
            family,
            address: virtual_address(family, method),
            answers: [0; 3],
            failed: 0,
        })
        .collect()
}

impl Row {
    /// Sends a round of requests, each over a new connection.
    fn ask(&mut self, lab: &Lab) {
        let Ok(names) = lab.client.get_many(self.address, REQUESTS) else {
            self.failed += REQUESTS as u64;
            return;
        };
        for name in names {
            match lab.servers.iter().position(|server| server.name() == name) {
                Some(server) => self.answers[server] += 1,
                None => self.failed += 1,
            }
        }
    }
}
