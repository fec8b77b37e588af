//! `cargo xtask bench --report`: every measurement one after the other, and the document of their figures.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::shell;

/// What does not change from machine to machine: limits of the wire, and what others published.
const ELSEWHERE: &str = include_str!("report/elsewhere.md");

/// A program whose output is the figures.
struct Measurement {
    title: &'static str,
    /// What it does, in a paragraph.
    method: &'static str,
    program: &'static str,
    options: &'static [&'static str],
}

/// In the order of the document.
const MEASUREMENTS: [Measurement; 7] = [
    Measurement {
        title: "Packets beside IPVS",
        method: "Debian's kernel in a virtual machine whose clock counts instructions, so that nothing disturbs it: what \
                 the kernel's own IPVS and the director take for each UDP packet of 60 bytes beyond making it and \
                 bringing it to the director. Both work on the kernel's socket buffers, the director as a TC \
                 program: a veth device would make and unmake XDP frames of them.",
        program: "packets",
        options: &[],
    },
    Measurement {
        title: "Commands beside ipvsadm",
        method: "In the same machine: instructions of all processes and of the kernel, until a command returns and in \
                 the two seconds after it, less what goes on without one, which stands first; of single edits the mean \
                 of ten.",
        program: "commands",
        options: &["--bound", "inf"],
    },
    Measurement {
        title: "Floods",
        method: "Ten times the entries of the default table in a minute, of each kind of flood, through the real \
                 program; 1,000 established connections before, and 2,000 new clients with a round trip of 200 ms \
                 meanwhile.",
        program: "flood",
        options: &[],
    },
    Measurement {
        title: "Failover",
        method: "Two directors in network namespaces, with established TCP connections of all methods that say nothing, \
                 and downloads under way: handovers, and crashes of the master.",
        program: "failover",
        options: &[],
    },
    Measurement {
        title: "Replication",
        method: "A director that joins another one with a million connections, and new connections afterwards.",
        program: "replication",
        options: &[],
    },
    Measurement {
        title: "Health checks",
        method: "From a crash to the removal, with and without clients that notice it first; the delay of probes while \
                 other servers hang; processor time and memory of probing 10,000 servers each second; a file of 5,000 \
                 services with one changed.",
        program: "healthcheck",
        options: &[],
    },
    Measurement {
        title: "Cluster managers",
        method: "The pause of a client when the master's machine stops, by keepalived and by Heartbeat, with their own \
                 times of detection.",
        program: "cluster",
        options: &[
            "keepalived",
            "keepalived-alone",
            "heartbeat-peers",
            "heartbeat-alone",
        ],
    },
];

/// Measures everything and writes the document. `more`: options of the measurement of the packet path.
///
/// # Errors
///
/// A program does not build, the document cannot be written, or a measurement fails: the document says which.
pub(crate) fn write(document: &Path, more: &[String]) -> Result<()> {
    // The cluster managers' pages install by xtask.
    let selection = [
        "-p",
        "lvsd",
        "-p",
        "lvsadm",
        "-p",
        "lvs-tests",
        "-p",
        "xtask",
        "--bins",
    ];
    shell::run(shell::cargo().args(["build", "--release"]).args(selection))?;
    let mut text = head()?;
    let mut failed = Vec::new();
    let json = NamedTempFile::new()?;
    let options: Vec<&str> = ["--json"]
        .into_iter()
        .chain(json.path().to_str())
        .chain(more.iter().map(String::as_str))
        .collect();
    match run("bench", &options) {
        Ok(_) => text += &packet_path(json.path())?,
        Err(error) => note_failure(&mut text, &mut failed, "Packet path", &error),
    }
    for measurement in MEASUREMENTS {
        let Measurement {
            title,
            method,
            program,
            options,
        } = measurement;
        match run(program, options) {
            Ok(said) => writeln!(text, "## {title}\n\n{method}\n\n```text\n{said}```\n")?,
            Err(error) => note_failure(&mut text, &mut failed, title, &error),
        }
    }
    text += ELSEWHERE;
    fs::write(document, text).with_context(|| format!("cannot write {}", document.display()))?;
    println!("{} is written", document.display());
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}

fn note_failure(
    text: &mut String,
    failed: &mut Vec<&'static str>,
    title: &'static str,
    error: &anyhow::Error,
) {
    eprintln!("{title}: {error:#}");
    // A string takes everything.
    let _ = write!(text, "## {title}\n\nNot measured: {error:#}\n\n");
    failed.push(title);
}

/// Runs a program as root, shows what it says as it goes, and returns that.
fn run(program: &str, options: &[&str]) -> Result<String> {
    let mut command = shell::as_root(shell::target_dir().join("release").join(program))?;
    command.args(options).stdout(Stdio::piped());
    eprintln!("+ {}", shell::text(&command));
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", shell::text(&command)))?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            println!("{line}");
            said += &line;
            said.push('\n');
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{}` failed ({status})", shell::text(&command));
    }
    Ok(said)
}

/// What the document is, and on which machine its figures were seen.
fn head() -> Result<String> {
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = date.split('T').next().unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let count = processors
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let model = field(&processors, "model name").unwrap_or("unknown processor");
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
    let gigabytes = memory.map_or(0, |kilobytes: u64| kilobytes >> 20);
    let virtual_machine = processors
        .lines()
        .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    let machine = if virtual_machine {
        "a virtual machine with "
    } else {
        ""
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel: Vec<_> = kernel.trim().split(['.', '-']).take(2).collect();
    let commit = Command::new("git")
        .current_dir(shell::workspace())
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = commit.ok().filter(|output| output.status.success());
    let commit = commit.map_or_else(String::new, |output| {
        format!(
            ", commit {}",
            String::from_utf8_lossy(&output.stdout).trim()
        )
    });
    Ok(format!(
        "# Performance\n\n\
         `cargo xtask bench --report` measures all of this in network namespaces of one machine and writes this file. \
         How users fare beside HAProxy and Apache is in [comparison.md](comparison.md).\n\n\
         {date}, {machine}{count} processors ({model}), {gigabytes} GiB, Linux {}, optimised build{commit}.\n\n",
        kernel.join("."),
    ))
}

/// The value of the first line with this name in one of the kernel's files.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

/// The measurement of the packet path as tables.
fn packet_path(json: &Path) -> Result<String> {
    let report: Value = serde_json::from_slice(&fs::read(json)?)?;
    let cases = report["cases"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let (live, called): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|case| case["mpps"].as_f64().is_some());
    let mut text = String::from(
        "## Packet path\n\n\
         Each case runs the real program on flows in random order beside the same harness around an empty function. \
         *Net* is the difference: the least times, in nanoseconds a packet. *Yardstick* is what the least program that \
         forwards by the same table takes. *Known* packets are of a connection in the table, *new* ones begin one.\n\n\
         | case | net | yardstick |\n|---|---|---|\n",
    );
    for case in called {
        writeln!(
            text,
            "| {} | {} | {} |",
            case["name"].as_str().unwrap_or_default(),
            number(&case["net_ns"]),
            number(&case["yardstick_ns"])
        )?;
    }
    text += "\n## Live frames\n\n\
             Generator, director and sink on one core, through veth pairs. A frame takes floor (a program that only sends \
             frames back) and net together, which is what the millions of frames a second come from. *tc* and *generic* \
             see the same socket buffers; *kernel* is its own forwarding.\n\n\
             | case | net | floor | Mpps |\n|---|---|---|---|\n";
    for case in live {
        writeln!(
            text,
            "| {} | {} | {} | {} |",
            case["name"].as_str().unwrap_or_default(),
            number(&case["net_ns"]),
            number(&case["floor_ns"]),
            number(&case["mpps"])
        )?;
    }
    text.push('\n');
    Ok(text)
}

fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(String::new, |number| format!("{number:.1}"))
}
