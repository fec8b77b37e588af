//! The director daemon.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use lvs_userspace::control::DEFAULT_SOCKET;
use lvs_userspace::daemon::{self, Settings};
use lvs_userspace::kernel::{self, Options};
use tracing_subscriber::EnvFilter;

/// The director daemon: makes this machine a layer-4 load balancer.
///
/// lvsd loads a program into the kernel's network drivers (XDP) that forwards the packets of virtual
/// services to real servers, and keeps its tables: services and real servers, next hops, expired
/// connections. Services come from a file (--config) or, at any time, from lvsadm, which takes
/// ipvsadm's commands.
///
/// The kernel does the forwarding. It goes on when lvsd ends, is killed or is being replaced; the next
/// lvsd takes over services and connections as they are, and puts its own program in the old one's
/// place without losing a packet. To stop forwarding, run lvsd with --detach-on-exit and stop it.
#[derive(Debug, Parser)]
#[command(name = "lvsd", version, after_long_help = AFTER_HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Arguments {
    /// Virtual services, in the lines of `ipvsadm -S`
    ///
    /// The tables are made to hold exactly the services of the file: services and servers that are not
    /// in it are deleted, connections stay. If any line is wrong, all errors are told and nothing
    /// changes. SIGHUP reads the file again. Without this option the tables stay as they are.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// An interface that packets of clients or real servers come in by (give it once for each)
    ///
    /// Interfaces that an earlier lvsd attached to and that are not named now are detached. Without
    /// this option the program stays where it is.
    #[arg(long, short, value_name = "IF")]
    interface: Vec<String>,

    /// Folder of the BPF file system that keeps the data path
    ///
    /// Two directors (in two network namespaces, say) need two folders. Where none is mounted, a BPF
    /// file system is.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/lvs")]
    bpffs: PathBuf,

    /// Control socket; root and the group "lvs", if there is one, may use it
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,

    /// Entries of the IPv4 connection table, 64 bytes each [default: 524288]
    ///
    /// A connection takes one entry, a NAT connection two. At 46 % of the entries in use one new
    /// connection in 10,000 finds no room, at 74 % one in 100: give two entries for each connection
    /// expected, four with NAT. A data path that is taken over keeps its sizes, see --reset.
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(8..=1 << 26))]
    table4: Option<u32>,

    /// Entries of the IPv6 connection table, 128 bytes each [default: 131072]
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(8..=1 << 25))]
    table6: Option<u32>,

    /// Room for the scheduling tables of all services together [default: 8388608]
    ///
    /// A service with rr needs one slot for each real server, with wrr the sum of the weights, with sh
    /// and dh 256, with mh 4093, with lc and wlc none; during an edit twice that.
    #[arg(long, value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1024..=1 << 28))]
    slots: Option<u32>,

    /// Fragmented packets that are followed at once [default: 16384]
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
    fragments: Option<u32>,

    /// Vary the outer source address of tunnels with the flow
    ///
    /// Spreads the load over the receive queues of real servers whose cards look at the outer addresses
    /// only. The default is the director's own address.
    #[arg(long)]
    rss_source: bool,

    /// ICMP errors the director sends per second and CPU at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    icmp_rate: u32,

    /// Remove the data path that is there, with all services and connections, and make a new one
    ///
    /// The way to new table sizes, and away from a data path of an incompatible lvsd.
    #[arg(long)]
    reset: bool,

    /// When lvsd is stopped, stop forwarding too and remove everything from the kernel
    #[arg(long)]
    detach_on_exit: bool,

    /// Load the program to have it verified, say how large it is, and end
    #[arg(long)]
    verify: bool,

    /// What is logged: error, warn, info, debug or trace (RUST_LOG takes finer filters)
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

const AFTER_HELP: &str = "\
Signals:
  SIGTERM, SIGINT  stop; the kernel goes on forwarding (but see --detach-on-exit)
  SIGHUP           read the configuration again

Example:
  lvsd --interface eth0 &
  lvsadm -A -t 192.0.2.10:80 -s wlc
  lvsadm -a -t 192.0.2.10:80 -r 10.0.0.1 -g
  lvsadm -a -t 192.0.2.10:80 -r 10.0.0.2 -g
  lvsadm -Ln --stats

The virtual address has to reach this machine (be one of its own, or routed to it), as with IPVS. The
program needs Linux 6.1 or newer and the capabilities CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&arguments.log_level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<()> {
    let options = Options {
        entries4: arguments.table4,
        entries6: arguments.table6,
        slots: arguments.slots,
        fragments: arguments.fragments,
        rss_source: arguments.rss_source,
        icmp_rate: arguments.icmp_rate,
    };
    if arguments.verify {
        return verify(&options);
    }
    let settings = Settings {
        config: arguments.config,
        interfaces: arguments.interface,
        bpffs: arguments.bpffs,
        socket: arguments.socket,
        options,
        reset: arguments.reset,
        detach_on_exit: arguments.detach_on_exit,
    };
    daemon::run(&settings)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn verify(options: &Options) -> Result<()> {
    for verified in kernel::verify(options)? {
        let number = |number: Option<u32>| {
            number.map_or_else(|| "?".to_owned(), |number| number.to_string())
        };
        println!(
            "{}: {} instructions verified, {} bytes of code",
            verified.program,
            number(verified.instructions),
            number(verified.bytes)
        );
    }
    Ok(())
}
