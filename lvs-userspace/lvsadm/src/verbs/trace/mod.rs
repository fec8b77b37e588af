//! `trace`: what becomes of packets, now.

mod line;
mod pcapng;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lvs_api::client::{Client, Lines};
use lvs_api::trace::{Trace as Request, TraceLine, TracedPacket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use self::pcapng::Capture;
use super::failure::Failure;
use super::time::time;

/// Bytes of each frame in a file at most, as the daemon has it.
const IMAGE: u32 = 2047;

/// Trace packets through the director: a line for each
///
/// Time, interface, addresses as the packet came; virtual service, state of the connection before and after; real
/// server, method, next hop; the verdict with its sentence. Dropped packets are shown, too.
///
/// The filter is written in tcpdump's words: host, net, port, portrange with src or dst before them, tcp, udp, sctp,
/// icmp, icmp6, ip, ip6; and, or, not, parentheses. Beside them: `service 192.0.2.10:80`, `server 10.0.0.11`, `verdict
/// drop` (or a whole name, as `lvsadm --verdicts` has it), `interface eth0`, `new` (a connection begins). A packet
/// matches by its addresses as it came, as it left, and by those of its connection: replies of servers behind NAT and
/// ICMP errors belong to it. Without a filter every packet is shown.
///
/// While somebody traces, the program that records packets takes the place of the one that does not: no packet is lost
/// by that, and nobody pays for it otherwise. Packets that may match go the longer way through the program. Records
/// that found no room are counted, and the counts are shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Trace {
    /// The packets to show
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// End after so many packets
    #[arg(short = 'c', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// End after this time (`10s`, `5m`, or seconds)
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    period: Option<Duration>,
    /// Show no more than so many packets a second; the others are counted
    #[arg(long, value_name = "NUMBER")]
    rate: Option<u64>,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    /// Write the frames, as they came and as they left, to a file for Wireshark, with the verdicts as comments; `-`: to
    /// standard output
    #[arg(short = 'w', long, value_name = "FILE", conflicts_with = "json")]
    pcapng: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lvsadm trace host 198.51.100.7 and port 80
  lvsadm trace verdict drop --for 10s
  lvsadm trace 'service 192.0.2.10:80 and (new or verdict answer)' --rate 20
  lvsadm trace service 192.0.2.10:443 -c 1000 -w frames.pcapng
  lvsadm trace tcp port 80 -w - | wireshark -k -i -";

/// The number of packets that were shown, and of those that were not.
#[derive(Default)]
struct Tally {
    shown: u64,
    over_rate: u64,
    lost: u64,
    skipped: u64,
}

/// Where packets are shown.
enum Sink<'a, W: Write> {
    Lines { out: &'a mut W, colour: bool },
    Json(&'a mut W),
    File(Capture<Box<dyn Write>>),
}

/// Shows packets until there were enough, the time is over, or somebody interrupts.
pub(super) async fn run(
    client: &mut Client,
    arguments: Trace,
    out: &mut impl Write,
    colour: bool,
) -> Result<(), Failure> {
    let request = Request {
        filter: arguments.filter.join(" "),
        image: if arguments.pcapng.is_some() { IMAGE } else { 0 },
    };
    // Before a file is opened: a wrong filter does not empty it.
    let mut lines = client.trace(&request).await?;
    let mut sink = match &arguments.pcapng {
        None if arguments.json => Sink::Json(out),
        None => Sink::Lines { out, colour },
        Some(path) => {
            let file: Box<dyn Write> = if path.as_os_str() == "-" {
                Box::new(io::stdout())
            } else {
                let file = File::create(path).map_err(|error| {
                    Failure::Usage(format!("cannot write to {}: {error}", path.display()))
                })?;
                Box::new(io::BufWriter::new(file))
            };
            Sink::File(Capture::new(file)?)
        }
    };
    let mut tally = Tally::default();
    let outcome = follow(&mut lines, &arguments, &mut sink, &mut tally).await;
    if let Sink::File(capture) = &mut sink {
        capture.finish()?;
    }
    match outcome {
        Ok(()) => drop(writeln!(io::stderr(), "{}", tally.text())),
        Err(failure) => return Err(failure),
    }
    Ok(())
}

async fn follow<W: Write>(
    lines: &mut Lines<TraceLine>,
    arguments: &Trace,
    sink: &mut Sink<'_, W>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let end = arguments.period.map(|period| Instant::now() + period);
    let over = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let mut over = std::pin::pin!(over);
    let mut second = (Instant::now(), 0);
    while arguments.count.is_none_or(|count| tally.shown < count) {
        let line = tokio::select! {
            // A flood of packets does not keep from ending.
            biased;
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = &mut over => return Ok(()),
            line = lines.next() => line?,
        };
        match line {
            None => return Err(Failure::TraceEnded),
            // The programs were loaded and verified first, which takes a moment.
            Some(TraceLine::Began {}) => {
                drop(writeln!(io::stderr(), "tracing: Ctrl-C ends it"));
            }
            Some(TraceLine::Lost { records, skipped }) => {
                tally.lost += records;
                tally.skipped += skipped;
                sink.lost(records, skipped)?;
            }
            Some(TraceLine::Packet(packet)) => {
                if second.0.elapsed() >= Duration::from_secs(1) {
                    second = (Instant::now(), 0);
                }
                second.1 += 1;
                if arguments.rate.is_some_and(|rate| second.1 > rate) {
                    tally.over_rate += 1;
                    continue;
                }
                tally.shown += 1;
                sink.packet(&packet)?;
            }
        }
    }
    Ok(())
}

impl<W: Write> Sink<'_, W> {
    fn packet(&mut self, packet: &TracedPacket) -> io::Result<()> {
        match self {
            Self::Lines { out, colour } => writeln!(out, "{}", line::text(packet, *colour)),
            Self::Json(out) => {
                serde_json::to_writer(&mut **out, packet)?;
                writeln!(out)
            }
            Self::File(capture) => capture.packet(packet),
        }
    }

    fn lost(&mut self, records: u64, skipped: u64) -> io::Result<()> {
        match self {
            Self::Json(out) => {
                serde_json::to_writer(&mut **out, &TraceLine::Lost { records, skipped })?;
                writeln!(out)
            }
            Self::Lines { .. } | Self::File(_) => {
                let text = Tally {
                    lost: records,
                    skipped,
                    ..Tally::default()
                };
                writeln!(io::stderr(), "{}", text.losses())
            }
        }
    }
}

impl Tally {
    /// The whole, for the end.
    fn text(&self) -> String {
        let mut text = match self.shown {
            1 => "1 packet".to_owned(),
            several => format!("{several} packets"),
        };
        if self.over_rate != 0 {
            let _ = write!(text, ", {} more not shown (--rate)", self.over_rate);
        }
        if self.lost != 0 || self.skipped != 0 {
            let _ = write!(text, "; {}", self.losses());
        }
        text
    }

    fn losses(&self) -> String {
        let mut texts = Vec::new();
        if self.lost != 0 {
            texts.push(format!(
                "{} records were lost, for want of room: a narrower filter needs less",
                self.lost
            ));
        }
        if self.skipped != 0 {
            texts.push(format!(
                "{} packets that matched came faster than they were read",
                self.skipped
            ));
        }
        texts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_tells_what_was_not_shown() {
        let tally = Tally {
            shown: 1,
            ..Tally::default()
        };
        assert_eq!(tally.text(), "1 packet");
        let tally = Tally {
            shown: 2,
            over_rate: 3,
            lost: 4,
            skipped: 5,
        };
        assert_eq!(
            tally.text(),
            "2 packets, 3 more not shown (--rate); 4 records were lost, for want of room: a narrower filter needs \
             less; 5 packets that matched came faster than they were read"
        );
    }
}
