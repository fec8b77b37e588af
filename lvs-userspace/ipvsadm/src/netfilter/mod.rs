//! Rules that mark packets, parsed from the output of `iptables-save` and `ip6tables-save`.
//!
//! The chains of the table `mangle` that a packet for IPVS goes through are followed with all packets at once: the
//! result is the mark as a function of the packet, in layers of which the last one holds, as the director's own rules
//! do.

mod packets;
mod rule;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lvs_api::mark::MarkRule;

use packets::{Layers, Packets, Region};
use rule::{Rule, Target};

/// The hint for rules that cannot be followed.
pub const LIMIT: &str =
    "packets are told by source and destination, protocol, ports and interface only";

/// Chains that call each other, at most.
const MAX_DEPTH: usize = 32;

/// The rules about marks in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Rules that can be followed.
    pub rules: Vec<MarkRule>,
    /// Line numbers, from 1, of rules that set a mark, or say which packets come to such a rule, and cannot be
    /// followed, with the reasons.
    pub others: Vec<(usize, String)>,
}

/// Parses the rules of the table `mangle` with the target `MARK`.
pub fn read(text: &str) -> Marks {
    let mut marks = Marks::default();
    let mut table = "";
    let mut chains = Chains::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if table.is_empty() && !line.is_empty() && !line.starts_with(['#', '*']) {
            let why = "this is not what iptables-save prints: no table begins (*mangle)";
            marks.others.push((number, why.to_owned()));
            return marks;
        }
        if let Some(name) = line.strip_prefix('*') {
            chains = Chains::default();
            table = name.trim();
        } else if line == "COMMIT" {
            marks.add(&chains);
            chains = Chains::default();
        } else if table == "mangle" {
            chains.read(number, line);
        }
    }
    // Whoever cut the text may have left out the end.
    marks.add(&chains);
    marks
}

impl Marks {
    /// Adds what a table says.
    fn add(&mut self, chains: &Chains) {
        let mut walk = Walk::new(chains);
        let mut alive = Region::all(true);
        for hook in ["PREROUTING", "INPUT"] {
            // What one chain accepts comes to the next one all the same.
            walk.ended = Region::all(false);
            walk.chain(hook, &mut alive, 0);
            alive = Region::all(true);
        }
        for (packets, mark) in &walk.marks.layers {
            match mark_rule(packets, *mark) {
                Ok(rule) => self.rules.push(rule),
                Err(why) => walk.others.push((walk.last_line, why)),
            }
        }
        let set = walk.set;
        walk.doubts.retain(|(set_before, _, _)| *set_before < set);
        let doubts = walk.doubts.into_iter().map(|(_, line, why)| (line, why));
        walk.others.extend(doubts);
        walk.others.sort();
        walk.others.dedup();
        self.others.extend(walk.others);
    }
}

/// The chains of a table.
#[derive(Default)]
struct Chains(BTreeMap<String, Vec<Rule>>);

impl Chains {
    /// Reads a line, if it is a rule's.
    fn read(&mut self, number: usize, line: &str) {
        let mut words = rule::words(line);
        // Counters, as `iptables-save -c` prints them.
        if words.first().is_some_and(|word| word.starts_with('[')) {
            words.remove(0);
        }
        if let [command, chain, rest @ ..] = words.as_slice()
            && command == "-A"
        {
            let chain = self.0.entry(chain.clone()).or_default();
            chain.push(rule::rule(number, rest));
        }
    }
}

/// The way of all packets through the chains.
struct Walk<'a> {
    chains: &'a Chains,
    /// Their marks.
    marks: Layers<u32>,
    /// Those that no rule is for any more.
    ended: Region,
    /// Rules that set marks so far.
    set: usize,
    /// Line of the last of them.
    last_line: usize,
    others: Vec<(usize, String)>,
    /// Rules that say which packets come to the next ones and that cannot be followed, with the number of rules that
    /// had set marks before.
    doubts: Vec<(usize, usize, String)>,
}

impl<'a> Walk<'a> {
    const fn new(chains: &'a Chains) -> Self {
        Self {
            chains,
            marks: Layers::all(0),
            ended: Region::all(false),
            set: 0,
            last_line: 0,
            others: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// Sends packets through a chain. Those that come out at its end are left.
    fn chain(&mut self, name: &str, alive: &mut Region, depth: usize) {
        let Some(rules) = self.chains.0.get(name) else {
            return;
        };
        for rule in rules {
            if let Err(why) = self.rule(rule, alive, depth) {
                if matches!(rule.target, Ok(Target::Mark { .. })) {
                    self.others.push((rule.line, why));
                } else {
                    self.doubts.push((self.set, rule.line, why));
                }
            }
        }
    }

    fn rule(&mut self, rule: &Rule, alive: &mut Region, depth: usize) -> Result<(), String> {
        let target = match &rule.target {
            Ok(Target::Nothing) => return Ok(()),
            Ok(target) => target,
            Err(why) => {
                self.others.push((rule.line, why.clone()));
                return Ok(());
            }
        };
        if let Target::Mark { .. } = target {
            self.set += 1;
            self.last_line = rule.line;
        }
        let mut packets = alive.clone();
        for condition in rule.conditions.as_ref().map_err(Clone::clone)? {
            packets = packets.and(&condition.region(&self.marks))?;
        }
        match target {
            Target::Mark { kept, turned } => {
                // Netfilter's rule is about all packets, of which IPVS takes those for the machine itself; the
                // director does not know beforehand which these are.
                let anywhere = |packets: Packets| packets.destination.is_none();
                if *turned != 0 && packets.parts().any(anywhere) {
                    return Err("no destination address (-d)".to_owned());
                }
                self.marks.change(&packets, |mark| (mark & kept) ^ turned)
            }
            Target::Return => alive.change(&packets, |_| false),
            Target::End => {
                self.ended.change(&packets, |_| true)?;
                alive.change(&packets, |_| false)
            }
            Target::Jump(name) | Target::Goto(name) => {
                if depth == MAX_DEPTH {
                    return Err(format!("too many chains call each other ({name})"));
                }
                let mut through = packets.clone();
                self.chain(name, &mut through, depth + 1);
                if let Target::Goto(_) = target {
                    return alive.change(&packets, |_| false);
                }
                alive.change(&self.ended.clone(), |_| false)
            }
            Target::Nothing => Ok(()),
        }
    }
}

/// The director's rule for packets with a mark; 0: with none.
fn mark_rule(packets: &Packets, mark: u32) -> Result<MarkRule, String> {
    let destination = packets.destination.ok_or("no destination address (-d)")?;
    let ports = packets.destination_ports;
    let rule = MarkRule {
        protocol: packets.protocol,
        address: SocketAddr::new(destination.address, ports.map_or(0, |ports| ports.first)),
        prefix: Some(destination.prefix),
        last_port: ports.map(|ports| ports.last),
        source: packets.source,
        source_ports: packets.source_ports,
        interface: packets.interface.clone(),
        mark,
        unmarked: mark == 0,
    };
    rule.canonical()
}

#[cfg(test)]
mod tests;
