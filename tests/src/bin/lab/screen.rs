//! The demo's view: redrawn on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Result;
use lvs_api::model::{Family, Method};
use lvs_tests::lab::Lab;
use terminal_size::{Height, terminal_size};

use crate::demo::Row;

/// Cursor to the first column of the first line.
const HOME: &str = "\x1b[H";
/// Erase from here to the end of the line.
const ERASE_LINE: &str = "\x1b[K";
/// Erase from here to the end of the screen.
const ERASE_BELOW: &str = "\x1b[J";
/// Time between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

/// Says what happens next.
pub(crate) fn progress(what: &str) {
    println!("lab: {what}");
}

pub(crate) struct Screen {
    terminal: bool,
    started: Instant,
    last_line: Option<Instant>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            started: Instant::now(),
            last_line: None,
        }
    }

    /// Shows how things stand; `last`: for the last time.
    pub(crate) fn show(&mut self, rows: &[Row], lab: &Lab, last: bool) -> Result<()> {
        if self.terminal {
            return self.redraw(&whole(rows, lab)?, last);
        }
        if self.last_line.is_none() {
            println!("{}", hints(lab));
        }
        if last {
            print!("{}", whole(rows, lab)?);
        } else if self
            .last_line
            .is_none_or(|line| line.elapsed() >= PLAIN_INTERVAL)
        {
            self.last_line = Some(Instant::now());
            println!(
                "{:>4} s  {}",
                self.started.elapsed().as_secs(),
                one_line(rows)
            );
        }
        Ok(())
    }

    /// Writes over what is there, line by line, so that nothing flickers.
    fn redraw(&mut self, text: &str, last: bool) -> Result<()> {
        let mut frame = String::new();
        if self.last_line.replace(Instant::now()).is_none() {
            // The first time: a clean screen.
            write!(frame, "{HOME}{ERASE_BELOW}")?;
        }
        frame += HOME;
        // More lines than the terminal has would scroll the first ones away: that is for the end.
        let height = terminal_size().map_or(usize::MAX, |(_, Height(height))| height.into());
        let lines = if last { usize::MAX } else { height - 1 };
        for line in text.lines().take(lines) {
            writeln!(frame, "{line}{ERASE_LINE}")?;
        }
        frame += ERASE_BELOW;
        let mut stdout = io::stdout().lock();
        stdout.write_all(frame.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

/// Everything: who answered, the listing, the verdicts, and what to try.
fn whole(rows: &[Row], lab: &Lab) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "{}", hints(lab))?;
    writeln!(
        text,
        "Answers to the client's requests by real server, each over a new connection:"
    )?;
    writeln!(text)?;
    write!(text, "  {:8}{:6}{:16}", "method", "", "virtual address")?;
    for server in &lab.servers {
        write!(text, "{:>9}", server.name())?;
    }
    writeln!(text, "{:>9}", "failed")?;
    for row in rows {
        write!(
            text,
            "  {:8}{:6}{:16}",
            method(row),
            family(row),
            row.address.to_string()
        )?;
        for answers in row.answers {
            write!(text, "{answers:>9}")?;
        }
        writeln!(text, "{:>9}", row.failed)?;
    }
    for command in ["-Ln --stats", "--verdicts"] {
        // Whoever ends lvsd to see that packets keep flowing shall not end the demo.
        let listing = lab
            .director
            .lvsadm(command)
            .unwrap_or_else(|error| error.to_string());
        writeln!(text, "\n$ lvsadm {command}\n{}", listing.trim_end())?;
    }
    Ok(text)
}

fn one_line(rows: &[Row]) -> String {
    let shown = rows.iter().map(|row| {
        let answers: Vec<_> = row.answers.iter().map(u64::to_string).collect();
        let failed = if row.failed > 0 {
            format!(" ({} failed)", row.failed)
        } else {
            String::new()
        };
        format!(
            "{} {} {}{failed}",
            method(row),
            family(row),
            answers.join("/")
        )
    });
    shown.collect::<Vec<_>>().join("  ")
}

fn hints(lab: &Lab) -> String {
    let socket = lab.director.socket();
    let namespace = lab.client.namespace().path();
    format!(
        "The lab is running (Ctrl-C ends it). In another terminal:\n\
         \x20 {} --socket {} -Ln\n\
         \x20 nsenter --net={} curl http://10.1.0.101/\n",
        lab.director.lvsadm_program().display(),
        socket.display(),
        namespace.display()
    )
}

fn method(row: &Row) -> &'static str {
    match row.method {
        Method::Direct => "direct",
        Method::Nat => "NAT",
        Method::Tunnel => "tunnel",
        Method::Local => "local",
    }
}

fn family(row: &Row) -> &'static str {
    match row.family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
