//! `--list-marks`: the rules that give packets firewall marks.

use std::io::{self, Write};

use lvs_api::mark::MarkRule;
use lvs_ipvsadm::mark_options::Options;

/// Prints the rules as the commands that make them.
pub(super) fn print(out: &mut impl Write, rules: &[MarkRule]) -> io::Result<()> {
    rules
        .iter()
        .try_for_each(|rule| writeln!(out, "{}", Options(rule)))
}
