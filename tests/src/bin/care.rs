//! What looking after real servers costs, and how quick it is: figures, not a test.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Arms, Host, Lab};
use lvs_userspace::control::client::Client;
use lvs_userspace::model::Family::Ipv4;
use lvs_userspace::model::Method::Nat;
use tokio::runtime::Runtime;

/// Measure how real servers are looked after.
#[derive(Parser)]
struct Arguments {
    /// Only these.
    #[arg(value_enum)]
    what: Vec<What>,
    /// Crashes.
    #[arg(long, default_value_t = 20)]
    crashes: usize,
    /// Real servers that are probed each second.
    #[arg(long, default_value_t = 10_000)]
    servers: u32,
    /// Virtual services of the file that is read again.
    #[arg(long, default_value_t = 5_000)]
    services: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// From a server's crash to its removal.
    Crash,
    /// What probing thousands of servers takes.
    Load,
    /// A file of thousands of virtual services, one of them changed.
    Reload,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    if wanted(What::Crash) {
        crashes(arguments.crashes)?;
    }
    if wanted(What::Load) {
        load(arguments.servers)?;
    }
    if wanted(What::Reload) {
        reload(arguments.services)?;
    }
    Ok(())
}

/// A lab whose director goes by a file.
struct Cared {
    lab: Lab,
    file: PathBuf,
    runtime: Runtime,
}

impl Cared {
    fn new(prepare: impl FnOnce(&Lab) -> Result<()>, text: &str) -> Result<Self> {
        let lab = Lab::new(Arms::Two)?;
        prepare(&lab)?;
        let file = lab.folder().join("ldirectord.cf");
        fs::write(&file, text)?;
        let begin = Instant::now();
        let name = file.to_string_lossy();
        let options = ["--config", &name, "--log-level", "warn"];
        lab.director.start_with(&options)?;
        println!("  the start took {:.2} s", begin.elapsed().as_secs_f64());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self { lab, file, runtime })
    }

    fn client(&self) -> Result<Client> {
        let socket = self.lab.director.socket();
        Ok(self.runtime.block_on(Client::connect(&socket))?)
    }

    /// Servers with weight, in all services.
    fn serving(&self, client: &mut Client) -> Result<usize> {
        let services = self.runtime.block_on(client.services())?.services;
        let servers = services.iter().flat_map(|service| &service.servers);
        Ok(servers.filter(|server| server.settings.weight > 0).count())
    }

    /// Waits until so many servers have weight; how long it took.
    fn wait(&self, client: &mut Client, count: usize) -> Result<Duration> {
        let begin = Instant::now();
        while self.serving(client)? != count {
            ensure!(
                begin.elapsed() < Duration::from_mins(1),
                "not {count} servers serve, but {}: {}",
                self.serving(client)?,
                self.lab.director.log_tail()
            );
            thread::sleep(Duration::from_millis(1));
        }
        Ok(begin.elapsed())
    }
}

fn crashes(count: usize) -> Result<()> {
    println!("crash to removal, interval=1s fastinterval=100ms fall=2, {count} crashes");
    let text = format!(
        "interval = 1s\nfastinterval = 100ms\nfall = 2\nchecktimeout = 1s\nvirtual = {}:80\n        \
         real = {}:80 masq\n        real = {}:80 masq\n        checktype = connect\n",
        virtual_address(Ipv4, Nat),
        server(Ipv4, 1),
        server(Ipv4, 2)
    );
    let mut cared = Cared::new(|_| Ok(()), &text)?;
    let mut client = cared.client()?;
    let mut times = Vec::new();
    for number in 0..count {
        // Crashes come at any moment of the interval.
        let phase = u64::try_from(number * 1_618 % 1_000)?;
        thread::sleep(Duration::from_millis(1_500 + phase));
        cared.lab.servers[0].crash();
        times.push(cared.wait(&mut client, 1)?);
        cared.lab.servers[0].recover()?;
        cared.wait(&mut client, 2)?;
    }
    times.sort();
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    println!(
        "  median {:.3} s, longest {:.3} s",
        seconds(times.get(times.len() / 2)),
        seconds(times.last())
    );
    Ok(())
}

fn load(servers: u32) -> Result<()> {
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

fn reload(services: u32) -> Result<()> {
    println!("reload of {services} virtual services with one changed");
    let file = |weight: u32| -> Result<String> {
        let mut text = "interval = 10s\nchecktimeout = 1s\n".to_owned();
        for service in 0..services {
            writeln!(
                text,
                "virtual = {}:{}",
                virtual_address(Ipv4, Nat),
                1_000 + service
            )?;
            let weight = if service == 1 { weight } else { 1 };
            let real = server(Ipv4, 1);
            writeln!(
                text,
                "        real = {real}:80 masq {weight}\n        checktype = connect"
            )?;
        }
        Ok(text)
    };
    let cared = Cared::new(|_| Ok(()), &file(1)?)?;
    let mut client = cared.client()?;
    cared.wait(&mut client, usize::try_from(services)?)?;
    for weight in 2..5 {
        fs::write(&cared.file, file(weight)?)?;
        let begin = Instant::now();
        cared.runtime.block_on(client.reload())?;
        println!("  {:.3} s", begin.elapsed().as_secs_f64());
    }
    let listed = cared.runtime.block_on(client.services())?;
    let weights = listed.services.iter().flat_map(|service| &service.servers);
    let changed = weights.filter(|server| server.settings.weight == 4).count();
    ensure!(changed == 1, "{changed} services have the new weight");
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
