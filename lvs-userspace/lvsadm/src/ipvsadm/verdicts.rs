//! `--verdicts`: number of packets by verdict.

use std::io::{self, Write};

use lvs_api::protocol::VerdictCount;

/// Prints the verdicts that occurred, or all of them.
pub(super) fn print(out: &mut impl Write, counts: &[VerdictCount], all: bool) -> io::Result<()> {
    let shown: Vec<_> = counts
        .iter()
        .filter(|count| all || count.packets > 0)
        .collect();
    let name = shown
        .iter()
        .map(|count| count.name.len())
        .max()
        .unwrap_or(0)
        .max("Verdict".len());
    writeln!(out, "{:<name$} {:>15}  Meaning", "Verdict", "Packets")?;
    for count in shown {
        let VerdictCount {
            name: word,
            packets,
            explanation,
        } = count;
        writeln!(out, "{word:<name$} {packets:>15}  {explanation}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(all: bool) -> String {
        let count = |name: &str, packets, explanation: &str| VerdictCount {
            name: name.to_owned(),
            packets,
            explanation: explanation.to_owned(),
        };
        let counts = [
            count(
                "forward-direct",
                1_234_567,
                "forwarded to a real server by direct routing",
            ),
            count("pass-not-ip", 0, "neither IPv4 nor IPv6: ARP and the like"),
        ];
        let mut out = Vec::new();
        print(&mut out, &counts, all).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn verdicts_that_occurred_are_listed_with_their_meaning() {
        let some = "\
Verdict                Packets  Meaning
forward-direct         1234567  forwarded to a real server by direct routing
";
        assert_eq!(printed(false), some);
        let all = "pass-not-ip                  0  neither IPv4 nor IPv6: ARP and the like\n";
        assert_eq!(printed(true), format!("{some}{all}"));
    }
}
