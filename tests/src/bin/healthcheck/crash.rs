//! Time from the crash of a server to its removal.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::client::Connections;

use crate::HealthLab;

pub(crate) fn crashes(count: usize) -> Result<()> {
    println!("crash to removal, interval=1s fastinterval=100ms fall=2, {count} crashes");
    let text = format!(
        "interval = 1s\nfastinterval = 100ms\nfall = 2\nchecktimeout = 1s\nvirtual = {}:80\n        \
         real = {}:80 masq\n        real = {}:80 masq\n        checktype = connect\n",
        virtual_address(Ipv4, Nat),
        server(Ipv4, 1),
        server(Ipv4, 2)
    );
    let mut health = HealthLab::new(|_| Ok(()), &text)?;
    let mut client = health.client()?;
    let mut crash_after = |pause| {
        thread::sleep(pause);
        health.lab.servers[0].crash();
        let took = health.wait(&mut client, 1)?;
        health.lab.servers[0].recover()?;
        health.wait(&mut client, 2)?;
        anyhow::Ok(took)
    };
    // Intervals are counted from the recovery before: the first crash has none, and comes at any moment.
    crash_after(Duration::from_millis(1_500))?;
    let mut times = Vec::new();
    for number in 0..count {
        // At every part of the interval, evenly.
        let phase = u64::try_from(500 * (2 * number + 1) / count)?;
        times.push(crash_after(Duration::from_millis(1_500 + phase))?);
    }
    tell(times);
    Ok(())
}

/// A server's machine stops while wrk asks for pages, and no probe is due for seconds.
pub(crate) fn under_load(count: usize) -> Result<()> {
    println!(
        "stopped machine to its removal under load, interval=10s fastinterval=100ms fall=2 \
         checktimeout=100ms, {count} times"
    );
    let mut text =
        "interval = 10s\nfastinterval = 100ms\ndowninterval = 100ms\nfall = 2\n".to_owned();
    let address = virtual_address(Ipv4, Direct);
    writeln!(
        text,
        "checktimeout = 100ms\nredispatch = yes\nvirtual = {address}:80"
    )?;
    for number in 1..=2 {
        writeln!(text, "        real = {}:80 gate", server(Ipv4, number))?;
    }
    writeln!(text, "        checktype = connect")?;
    let health = HealthLab::new(|_| Ok(()), &text)?;
    let mut client = health.client()?;
    let link = |state: &str| {
        let machine = health.lab.servers[0].namespace();
        machine.ip(&format!("link set eth0 {state}\n"))
    };
    let mut times = Vec::new();
    for number in 0..count {
        let phase = u64::try_from(number * 1_618 % 1_000)?;
        let took = thread::scope(|scope| {
            let load = scope.spawn(|| health.lab.client.load(address, Connections::New, 5));
            thread::sleep(Duration::from_millis(1_000 + phase));
            link("down")?;
            let took = health.wait(&mut client, 1)?;
            link("up")?;
            drop(load.join());
            anyhow::Ok(took)
        })?;
        times.push(took);
        health.wait(&mut client, 2)?;
    }
    tell(times);
    Ok(())
}

fn tell(mut times: Vec<Duration>) {
    times.sort();
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    // Of an even number, the median lies between two.
    let middle = [times.len().saturating_sub(1) / 2, times.len() / 2];
    let [lower, upper] = middle.map(|place| seconds(times.get(place)));
    println!(
        "  shortest {:.3} s, median {:.3} s, longest {:.3} s",
        seconds(times.first()),
        f64::midpoint(lower, upper),
        seconds(times.last())
    );
}
