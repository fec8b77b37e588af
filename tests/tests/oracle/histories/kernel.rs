//! Histories with the kernel's IPVS, in the virtual machine.

use std::path::Path;
use std::thread;

use lvs_tests::history::{Answers, History, neighbours};
use lvs_tests::lab;
use lvs_tests::vm::Kernel;

use crate::MODULES;

/// Both sides of the director are pairs of devices, with one end each for `flow play`.
const NETWORK: &str = include_str!("network.sh");
/// A virtual machine plays so many histories.
pub(super) const AT_ONCE: usize = 20;

/// The answers to each history, one after the other on one director.
pub(super) fn answers(histories: &[History]) -> Vec<Answers> {
    let play = |histories: &[History]| {
        let names: Vec<_> = histories.iter().map(History::text).collect();
        let script = format!("{}flow play c servers {}\n", network(), names.join(" "));
        run(histories, &script)
    };
    // Two machines at a time.
    let chunks: Vec<_> = histories.chunks(AT_ONCE).collect();
    let pairs = chunks.chunks(2).flat_map(|pair| {
        thread::scope(|scope| {
            let threads = pair.iter().map(|chunk| scope.spawn(|| play(chunk)));
            let threads: Vec<_> = threads.collect();
            let answers = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            answers.collect::<Vec<_>>()
        })
    });
    pairs.collect()
}

/// The same, each on a director of its own.
pub(super) fn isolated_answers(histories: &[History]) -> Vec<Answers> {
    let play = |histories: &[History]| {
        let names: Vec<_> = histories.iter().map(History::text).collect();
        let script = format!(
            "network='{}'
             for history in {}; do
                 /bin/ip netns add h
                 nsenter --net=/run/netns/h sh -c \"$network\"
                 nsenter --net=/run/netns/h flow play c servers $history
                 /bin/ip netns del h
             done\n",
            network(),
            names.join(" ")
        );
        run(histories, &script)
    };
    histories.chunks(AT_ONCE).flat_map(play).collect()
}

fn network() -> String {
    let neighbours = neighbours("back");
    let neighbours = neighbours.lines().map(|line| format!("/bin/ip {line}\n"));
    std::iter::once(NETWORK.to_owned())
        .chain(neighbours)
        .collect()
}

fn run(histories: &[History], script: &str) -> Vec<Answers> {
    // The clock counts instructions: however slow the machine is, no connection expires meanwhile.
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian"))
        .unwrap()
        .counting_instructions();
    let (ipvsadm, ip) = (lab::find("ipvsadm").unwrap(), lab::find("ip").unwrap());
    let flow = lab::built("flow").unwrap();
    let script = format!("mkdir -p /run/netns\nmodprobe ip_vs\n{script}");
    let said = kernel
        .run_with_modules(&MODULES, &[&ipvsadm, &ip, &flow], &script)
        .unwrap();
    let lines: Vec<_> = said.lines().collect();
    let parts: Vec<_> = lines
        .chunk_by(|_, line| !line.starts_with("history "))
        .collect();
    assert_eq!(parts.len(), histories.len(), "{said}");
    let answers = histories.iter().zip(parts).map(|(history, part)| {
        let answers = Answers::parse(history, &part[1..]);
        answers.unwrap_or_else(|| panic!("{}", part.join("\n")))
    });
    answers.collect()
}
