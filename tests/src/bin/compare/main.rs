//! What users lose when a real server fails: lvsd beside HAProxy and Apache in the same lab. Figures, not a test.
//!
//! Two of the lab's real servers are balanced at one address. Half of the users keep their connections, the others make
//! one for each request. A second later the first server fails: its program is killed, hangs (SIGSTOP), or its machine
//! is gone (link down). A user gives up after ten seconds.

mod contender;
mod users;

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::{Arms, Lab};

use self::contender::Contender;
use self::users::{Outcome, Users};

/// Time before the fault.
const BEFORE: Duration = Duration::from_secs(1);
/// Time after it in which users begin requests.
const AFTER: Duration = Duration::from_secs(4);

/// A fault of the first real server.
#[derive(Clone, Copy)]
enum Fault {
    Kill,
    Hang,
    HostDead,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Kill, Self::Hang, Self::HostDead];

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Hang => "hang (SIGSTOP)",
            Self::HostDead => "host dead (link down)",
        }
    }

    fn begin(self, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Kill => lab.servers[0].crash(),
            Self::Hang => lab.servers[0].hang()?,
            Self::HostDead => link(lab, "down")?,
        }
        Ok(())
    }

    fn end(self, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Kill => lab.servers[0].recover()?,
            Self::Hang => lab.servers[0].wake()?,
            Self::HostDead => link(lab, "up")?,
        }
        Ok(())
    }
}

fn link(lab: &Lab, state: &str) -> Result<()> {
    let first = lab.servers[0].namespace();
    first.ip(&format!("link set eth0 {state}\n"))
}

/// Compare what users lose when a real server fails with HAProxy and Apache.
#[derive(Parser)]
struct Arguments {}

fn main() -> Result<()> {
    let Arguments {} = Arguments::parse();
    println!(
        "| fault of one of two servers | balancer | requests | no connection | failed, new connection | failed, kept \
         connection | longest wait |\n|---|---|---|---|---|---|---|"
    );
    for fault in Fault::ALL {
        for contender in Contender::ALL {
            let Some(outcome) = run(fault, contender)? else {
                eprintln!("{} is not installed: left out", contender.name());
                continue;
            };
            let Outcome {
                requests,
                failed_new,
                failed_begun,
                failed_kept,
                longest,
            } = outcome;
            println!(
                "| {} | {} | {requests} | {failed_new} | {failed_begun} | {failed_kept} | {:.2} s |",
                fault.name(),
                contender.name(),
                longest.as_secs_f64()
            );
        }
    }
    Ok(())
}

/// One fault with one balancer; none: it is not installed.
fn run(fault: Fault, contender: Contender) -> Result<Option<Outcome>> {
    if !contender.is_installed() {
        return Ok(None);
    }
    let mut lab = Lab::new(Arms::Two)?;
    let address = virtual_address(Ipv4, Nat);
    let _running = contender.start(&lab, address)?;
    let client = lab.client.namespace().clone();
    let users = Users::default();
    thread::scope(|scope| {
        let asking = scope.spawn(|| client.enter(|| users.ask(address)));
        thread::sleep(BEFORE);
        let begun = fault.begin(&mut lab);
        thread::sleep(AFTER);
        users.stop();
        asking.join().expect("users do not panic")?;
        begun
    })?;
    fault.end(&mut lab)?;
    Ok(Some(users.outcome()))
}
