//! `--list-marks`: the rules that give packets firewall marks.

use std::io::{self, Write};

use lvs_api::model::Protocol;
use lvs_api::protocol::MarkRule;

/// Prints the rules as the commands that make them.
pub(super) fn print(out: &mut impl Write, rules: &[MarkRule]) -> io::Result<()> {
    for rule in rules {
        let MarkRule {
            protocol,
            address,
            mark,
        } = rule;
        let option = match protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        writeln!(out, "--mark {mark} {option} {address}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lvs_api::protocol::Edit;
    use lvs_ipvsadm::restore::parse_line;

    #[test]
    fn the_printed_commands_make_the_rules_again() {
        let rules = [
            ("192.0.2.10:443", Protocol::Tcp),
            ("192.0.2.10:0", Protocol::Udp),
            ("[2001:db8::1]:80", Protocol::Sctp),
        ]
        .map(|(address, protocol)| MarkRule {
            protocol,
            address: address.parse().expect("an address"),
            mark: 7,
        });
        let mut out = Vec::new();
        print(&mut out, &rules).expect("memory takes it");
        let text = String::from_utf8(out).expect("text");
        let read: Vec<_> = text.lines().map(parse_line).collect();
        let edits: Vec<_> = rules.map(|rule| Ok(Some(Edit::Mark(rule)))).into();
        assert_eq!(read, edits, "{text}");
    }
}
