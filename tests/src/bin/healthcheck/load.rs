//! CPU time and memory of probing thousands of servers.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::{Host, Lab};

use crate::HealthLab;
use crate::least;
use crate::tally::{Rates, Tally};

const INTERVAL: Duration = Duration::from_secs(1);
/// Intervals that are measured.
const MEASURED: u64 = 20;
/// Servers of one virtual service.
const EACH: u32 = 500;

pub(crate) fn probes(servers: u32) -> Result<()> {
    println!("{servers} servers, a connection to each every second");
    // 10.9.0.0/16.
    let address = |number: u32| Ipv4Addr::from_bits(0x0a09_0000 + number);
    let to = |number| SocketAddr::new(address(number).into(), 80);
    let services = servers.div_ceil(EACH);
    let to: Vec<SocketAddr> = (1..=services * EACH).map(to).collect();
    let mut text = "interval = 1s\nfall = 2\nchecktimeout = 1s\n".to_owned();
    for service in 0..services {
        writeln!(
            text,
            "virtual = {}:{}",
            virtual_address(Ipv4, Nat),
            1_000 + service
        )?;
        let [first, last] = [service * EACH + 1, (service + 1) * EACH].map(address);
        writeln!(
            text,
            "        real = {first}->{last}:80 masq\n        checktype = connect"
        )?;
    }
    let prepare = |lab: &Lab| {
        // One machine with all addresses, at the other end of a wire: what bridges in between would do with
        // each packet, with their hooks, is not the director's.
        let (one, director) = (lab.namespace(Host::Server(1)), lab.director.namespace());
        let name = one.name();
        director.ip(&format!(
            "link add probes type veth peer name probes netns {name}\n\
             address add 10.8.0.1/24 dev probes\n\
             link set probes up\n"
        ))?;
        one.ip("address add 10.8.0.2/24 dev probes\n\
             link set probes up\n\
             route add local 10.9.0.0/16 dev lo\n")?;
        director.ip("route add 10.9.0.0/16 via 10.8.0.2\n")
    };
    let health = HealthLab::new(prepare, &text)?;
    let mut client = health.client()?;
    let took = health.wait(&mut client, to.len())?;
    println!("  all serve {:.2} s later", took.as_secs_f64());
    let process = health.runtime.block_on(client.status())?.pid;
    let folder = PathBuf::from(format!("/proc/{process}"));
    // Every watch has found its place in the interval once it has been made twice.
    let each = u64::try_from(to.len())?;
    Tally::of(&folder)?.until(2 * each, &folder)?;
    let rates = Tally::of(&folder)?.until(MEASURED * each, &folder)?;
    println!("  lvsd: {rates}; {}", memory(&folder)?);
    ensure!(
        health.serving(&mut client)? == to.len(),
        "some servers were lost"
    );
    health.lab.director.stop()?;

    let least = health
        .lab
        .director
        .namespace()
        .enter(|| least(&to, each))??;
    println!("  the least: {least}");
    Ok(())
}

/// CPU time of a bare loop for the same connections.
fn least(to: &[SocketAddr], each: u64) -> Result<Rates> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, folder) = mpsc::channel();
        let stopped = &stop;
        let loops = scope.spawn(move || {
            sender.send(fs::read_link("/proc/thread-self"))?;
            least::connect(to, INTERVAL, stopped)
        });
        let folder = Path::new("/proc").join(folder.recv()??);
        let measure = || Tally::of(&folder)?.until(MEASURED * each, &folder);
        let rates = measure();
        stop.store(true, Ordering::Relaxed);
        let Ok(ended) = loops.join() else {
            bail!("the loop broke off")
        };
        ended.and(rates)
    })
}

/// Resident memory of a process: all of it, and its own.
fn memory(folder: &Path) -> Result<String> {
    let status = fs::read_to_string(folder.join("status"))?;
    let megabytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let mut words = line.context("a process has memory")?.split_whitespace();
        let kilobytes = words.find_map(|word| word.parse::<u64>().ok());
        anyhow::Ok(kilobytes.context("memory is a number")? / 1024)
    };
    let (all, own) = (megabytes("VmRSS")?, megabytes("RssAnon")?);
    Ok(format!(
        "{all} MB resident, {own} MB of it its own, the rest files and the tables"
    ))
}
