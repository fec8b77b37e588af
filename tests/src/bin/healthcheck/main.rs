//! Cost and delay of health checks: figures, not a test.

mod crash;
mod hang;
mod least;
mod load;
mod reload;
mod tally;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use lvs_api::client::Client;
use lvs_tests::lab::{Arms, Lab};
use tokio::runtime::Runtime;

/// Measure the cost and delay of health checks.
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
    /// The same under load, detected by repeated SYNs of clients before a probe is due.
    Signal,
    /// Delay of probes of healthy servers while others hang.
    Hang,
    /// CPU time and memory of probing thousands of servers.
    Load,
    /// A file of thousands of virtual services: it is read again with one of them changed, and checked.
    Reload,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    if wanted(What::Crash) {
        crash::crashes(arguments.crashes)?;
    }
    if wanted(What::Signal) {
        crash::under_load(arguments.crashes)?;
    }
    if wanted(What::Hang) {
        for hung in [0, 100] {
            hang::delays(1_000, hung)?;
        }
    }
    if wanted(What::Load) {
        load::probes(arguments.servers)?;
    }
    if wanted(What::Reload) {
        reload::reload(arguments.services)?;
    }
    Ok(())
}

/// A lab whose director has a configuration file.
struct HealthLab {
    lab: Lab,
    file: PathBuf,
    runtime: Runtime,
}

impl HealthLab {
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
