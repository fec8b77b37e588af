//! What probing thousands of servers takes.

use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Host, Lab};
use lvs_userspace::model::Family::Ipv4;
use lvs_userspace::model::Method::Nat;

use crate::Cared;

pub(crate) fn probes(servers: u32) -> Result<()> {
    const EACH: u32 = 500;
    println!("{servers} servers, a connection to each every second");
    let mut text = "interval = 1s\nfall = 2\nchecktimeout = 1s\n".to_owned();
    for service in 0..servers.div_ceil(EACH) {
        writeln!(
            text,
            "virtual = {}:{}",
            virtual_address(Ipv4, Nat),
            1_000 + service
        )?;
        let [first, last] = [service * EACH + 1, (service + 1) * EACH].map(|number| {
            let [.., third, fourth] = number.to_be_bytes();
            format!("10.9.{third}.{fourth}")
        });
        writeln!(
            text,
            "        real = {first}->{last}:80 masq\n        checktype = connect"
        )?;
    }
    let prepare = |lab: &Lab| {
        // One machine with all addresses.
        let one = lab.namespace(Host::Server(1));
        one.ip("route add local 10.9.0.0/16 dev lo\n")?;
        let route = format!("route add 10.9.0.0/16 via {}\n", server(Ipv4, 1));
        lab.director.namespace().ip(&route)
    };
    let cared = Cared::new(prepare, &text)?;
    let mut client = cared.client()?;
    let all = usize::try_from(servers.div_ceil(EACH) * EACH)?;
    let took = cared.wait(&mut client, all)?;
    println!("  all serve {:.2} s later", took.as_secs_f64());
    thread::sleep(Duration::from_secs(5));
    let process = cared.runtime.block_on(client.status())?.pid;
    let (before, begin) = (processor_time(process)?, Instant::now());
    thread::sleep(Duration::from_secs(20));
    let used = processor_time(process)? - before;
    println!(
        "  {:.1} % of one core, {} MB",
        100.0 * used / begin.elapsed().as_secs_f64(),
        memory(process)?
    );
    ensure!(cared.serving(&mut client)? == all, "some servers were lost");
    Ok(())
}

/// Seconds of processor time that a process has used.
fn processor_time(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which may hold anything: user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.filter_map(|word| word.parse::<u32>().ok()).sum();
    Ok(f64::from(ticks) / 100.0)
}

/// Resident memory of a process in megabytes.
fn memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let mut words = line.context("a process has memory")?.split_whitespace();
    let kilobytes = words.find_map(|word| word.parse::<u64>().ok());
    Ok(kilobytes.context("memory is a number")? / 1024)
}
