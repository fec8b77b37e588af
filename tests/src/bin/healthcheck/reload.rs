//! A file of thousands of virtual services.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::built;

use crate::HealthLab;

pub(crate) fn reload(services: u32) -> Result<()> {
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
    let health = HealthLab::new(|_| Ok(()), &file(1)?)?;
    let mut client = health.client()?;
    health.wait(&mut client, usize::try_from(services)?)?;
    for weight in 2..5 {
        fs::write(&health.file, file(weight)?)?;
        let begin = Instant::now();
        health.runtime.block_on(client.reload())?;
        println!("  {:.3} s", begin.elapsed().as_secs_f64());
    }
    let listed = health.runtime.block_on(client.services())?;
    let weights = listed.services.iter().flat_map(|service| &service.servers);
    let changed = weights.filter(|server| server.settings.weight == 4).count();
    ensure!(changed == 1, "{changed} services have the new weight");

    let mut check = Command::new(built("lvsd")?);
    check.arg("check").arg(&health.file);
    let begin = Instant::now();
    let output = check.output()?;
    let took = begin.elapsed().as_secs_f64();
    println!("  lvsd check: {took:.3} s ({})", output.status);
    Ok(())
}
