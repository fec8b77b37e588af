//! Firewall marks of a file's services: the rules that set them are imported from netfilter, where they are
//! maintained.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::Command;

use lvs_api::mark::MarkRule;
use lvs_api::model::{Family, ServiceId};
use lvs_api::protocol::Edit;
use lvs_health::model::Configuration;
use lvs_ipvsadm::mark_options::Options;
use lvs_ipvsadm::netfilter;
use lvs_process::children;
use tracing::{info, warn};

use crate::control::Control;

/// Imports the rules for the marks of these services. Rules that the director cannot follow are logged; rules
/// set by `lvsadm --mark` stay.
pub(super) fn import(control: &Control, services: &Configuration) {
    for (family, program) in [
        (Family::Ipv4, "iptables-save"),
        (Family::Ipv6, "ip6tables-save"),
    ] {
        let marks: BTreeSet<u32> = services
            .virtuals
            .iter()
            .filter_map(|service| match service.id {
                ServiceId::Mark { mark, family: of } if of == family => Some(mark),
                _ => None,
            })
            .collect();
        if marks.is_empty() {
            continue;
        }
        let found = netfilter::read(&saved_rules(program));
        for (line, why) in found.others {
            warn!("{program}, line {line}: {}: {why}", netfilter::LIMIT);
        }
        let wanted = concerned(found.rules, &marks);
        let mut known = control.director().marks();
        known.retain(|rule| wanted.contains(rule));
        // All of them again, so that they hold in the order in which they stand.
        for rule in wanted.iter().filter(|_| known != wanted) {
            match control.director().apply(&Edit::Mark(rule.clone())) {
                Ok(()) if known.contains(rule) => {}
                Ok(()) => info!("rule of {program}: {}", Options(rule)),
                Err(refusal) => warn!("{}: {}", Options(rule), refusal.message),
            }
        }
        let known = control.director().marks();
        for mark in marks {
            let sets = |rule: &MarkRule| {
                rule.mark == mark && rule.address.is_ipv4() == (family == Family::Ipv4)
            };
            if !known.iter().any(sets) {
                warn!("no packet carries the mark {mark}: see `lvsadm --help` about --mark");
            }
        }
    }
}

/// The rules for these marks, and those for other marks or none that may hold for some of their packets.
fn concerned(mut rules: Vec<MarkRule>, marks: &BTreeSet<u32>) -> Vec<MarkRule> {
    let destinations: Vec<_> = rules
        .iter()
        .filter(|rule| marks.contains(&rule.mark))
        .map(MarkRule::destination)
        .collect();
    rules.retain(|rule| {
        let destination = rule.destination();
        destinations.iter().any(|other| other.meets(&destination))
    });
    rules
}

/// Output of `iptables-save` or its like for the table `mangle`; empty if it is not installed.
fn saved_rules(program: &str) -> String {
    match children::output(Command::new(program).args(["-t", "mangle"])) {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            warn!("{program} ended with {}: {}", output.status, errors.trim());
            String::new()
        }
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                warn!("cannot run {program}: {error}");
            }
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_other_marks_are_taken_where_they_take_packets_away() {
        let rule = |address: &str, mark| {
            let json = format!(r#"{{"address":"{address}","mark":{mark}}}"#);
            serde_json::from_str::<MarkRule>(&json).expect("a rule")
        };
        let rules = vec![
            rule("192.0.2.1:0", 1),
            rule("192.0.2.1:443", 2),
            rule("192.0.2.9:0", 2),
        ];
        let taken = concerned(rules.clone(), &BTreeSet::from([1]));
        assert_eq!(taken, rules[..2]);
    }
}
