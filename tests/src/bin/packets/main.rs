//! Measures what packets cost, in instructions: the director beside the kernel's IPVS.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::Parser;
use lvs_tests::vm;

/// Kernel modules that the script needs.
const MODULES: [&str; 14] = [
    "veth",
    "pktgen",
    "ip_vs",
    "sch_ingress",
    "cls_bpf",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_mh",
];

/// Instructions of the kernel for each UDP packet of 60 bytes beyond those that make it and bring it to the director,
/// in a virtual machine that counts them: beside the kernel's IPVS, known and new connections, by scheduler and number
/// of real servers. Both forward by the device by which the packet came, from socket buffers (the director as a TC
/// program). To be built with --release.
#[derive(Parser)]
struct Arguments {}

fn main() -> Result<()> {
    let Arguments {} = Arguments::parse();
    let said = vm::run_counting_instructions(
        &MODULES,
        &["ipvsadm", "ip", "ethtool"],
        include_str!("script.sh"),
    )?;
    let (names, costs) = costs(&said);
    let cost = |kind, name| {
        let found = costs.get(&(kind, name)).copied();
        found.with_context(|| format!("{kind} {name} is missing: {said}"))
    };
    println!("instructions per packet: IPVS, the director, as a share");
    for name in names.into_iter().filter(|name| *name != "floor") {
        let [ipvs, lvsd] =
            ["ipvs", "lvsd"].map(|kind| anyhow::Ok(cost(kind, name)? - cost(kind, "floor")?));
        let (ipvs, lvsd) = (ipvs?, lvsd?);
        println!("{:32}{ipvs:8.0}{lvsd:8.0}{:8.2}", what(name), lvsd / ipvs);
    }
    Ok(())
}

/// A case in words.
fn what(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((kind, "g")) => format!("{kind}, direct routing"),
        Some((kind, "m")) => format!("{kind}, NAT"),
        Some((kind, "i")) => format!("{kind}, tunnel"),
        Some((scheduler, servers)) => format!("new, {scheduler}, {servers} real servers"),
        None => name.to_owned(),
    }
}

/// Costs by kind and name, and the names in their order.
fn costs(said: &str) -> (Vec<&str>, BTreeMap<(&str, &str), f64>) {
    let mut names = Vec::new();
    let mut costs = BTreeMap::new();
    for line in said.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if let [kind, name, cost] = words[..]
            && let Ok(cost) = cost.parse()
        {
            if kind == "ipvs" {
                names.push(name);
            }
            costs.insert((kind, name), cost);
        }
    }
    (names, costs)
}
