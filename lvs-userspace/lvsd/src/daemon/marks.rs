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
        let wanted: Vec<MarkRule> = found
            .rules
            .into_iter()
            .filter(|rule| marks.contains(&rule.mark))
            .collect();
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
