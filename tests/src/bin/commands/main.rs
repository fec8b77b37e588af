//! Measures what commands cost, in instructions: lvsadm and lvsd beside ipvsadm and the kernel's IPVS.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lvs_tests::vm;

/// Kernel modules that the script needs.
const MODULES: [&str; 5] = ["ip_vs", "ip_vs_wlc", "veth", "sch_ingress", "cls_bpf"];

/// Commands that are compared, by their name in the script's output.
const COMMANDS: [(&str, &str); 6] = [
    ("restore", "-R, 2,000 services with 4 real servers each"),
    ("list", "-Ln of them"),
    ("add", "-a, one more real server"),
    ("edit", "-e, one weight"),
    ("save", "-S -n"),
    ("clear", "-C"),
];

/// Instructions of all processes and of the kernel for each command, in a virtual machine that counts them. Fails if
/// a command costs more than with ipvsadm and the kernel's IPVS. To be built with --release.
#[derive(Parser)]
struct Arguments {
    /// Instructions of a command at most, as a multiple of those of ipvsadm with the kernel's IPVS
    #[arg(long, default_value_t = 1.0)]
    bound: f64,
}

/// Instructions of a command until it returns, and of what goes on for two seconds after it.
type Cost = [f64; 2];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let said =
        vm::run_counting_instructions(&MODULES, &["ipvsadm", "ip"], include_str!("script.sh"))?;
    let costs = costs(&said);
    let cost = |kind, name| {
        let found = costs.get(&(kind, name)).copied();
        found.with_context(|| format!("{kind} {name} is missing: {said}"))
    };
    let busy = |kind| cost(kind, "busy").map(|[each_second, _]| each_second);
    println!(
        "instructions each second without a command: IPVS {:.0}, lvsd {:.0}",
        busy("ipvs")?,
        busy("lvsd")?
    );
    println!("instructions, until the command returns + in the two seconds after it");
    let mut dearer = Vec::new();
    for (name, what) in COMMANDS {
        let [ipvs, lvsd] = ["ipvs", "lvsd"].map(|kind| {
            let [until, after] = cost(kind, name)?;
            // What the shell and two seconds without a command cost.
            let [shell, idle] = cost(kind, if name == "clear" { "nothing" } else { "idle" })?;
            anyhow::Ok::<Cost>([until - shell, after - idle])
        });
        let ([ipvs, ipvs_after], [lvsd, lvsd_after]) = (ipvs?, lvsd?);
        let times = (lvsd + lvsd_after.max(0.0)) / (ipvs + ipvs_after.max(0.0));
        println!(
            "{what}: ipvsadm {ipvs:.0} + {ipvs_after:.0}, lvsadm {lvsd:.0} + {lvsd_after:.0}: {times:.2} times"
        );
        if times > arguments.bound {
            dearer.push(name);
        }
    }
    ensure!(dearer.is_empty(), "dearer: {}", dearer.join(", "));
    Ok(())
}

/// Costs by kind and name: the mean of those that were measured several times.
fn costs(said: &str) -> BTreeMap<(&str, &str), Cost> {
    let mut all: BTreeMap<_, Vec<Cost>> = BTreeMap::new();
    for line in said.lines() {
        let [kind, name, until, after] = line.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        if let (Ok(until), Ok(after)) = (until.parse(), after.parse()) {
            all.entry((kind, name)).or_default().push([until, after]);
        }
    }
    let mean = |costs: Vec<Cost>| {
        let count: f64 = costs.iter().map(|_| 1.0).sum();
        let mean = |part: usize| costs.iter().map(|cost| cost[part]).sum::<f64>() / count;
        [mean(0), mean(1)]
    };
    let means = all.into_iter().map(|(name, costs)| (name, mean(costs)));
    means.collect()
}
