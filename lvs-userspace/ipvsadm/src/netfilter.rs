//! Rules that mark packets, parsed from the output of `iptables-save` and `ip6tables-save`.

use std::net::SocketAddr;

use lvs_api::mark::{MarkRule, Network, PortRange};

use super::mark_options::protocol;

/// Rules that one line may stand for.
const MAX_RULES: usize = 1024;

/// The hint for rules that cannot be followed.
pub const LIMIT: &str =
    "packets are told by source and destination, protocol, ports and interface only";

/// The rules about marks in a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Rules that can be followed.
    pub rules: Vec<MarkRule>,
    /// Line numbers, from 1, of rules that set a mark and cannot be followed, with the reasons.
    pub others: Vec<(usize, String)>,
}

/// Parses the rules of the table `mangle` with the target `MARK`.
pub fn read(text: &str) -> Marks {
    let mut marks = Marks::default();
    let mut table = "";
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        }
        if table != "mangle" || !line.starts_with("-A ") {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.windows(2).any(|pair| pair == ["-j", "MARK"]) {
            continue;
        }
        match rule(&words) {
            Ok(rules) => marks.rules.extend(rules),
            Err(why) => marks.others.push((number, why)),
        }
    }
    marks
}

/// Ports that a line names: each of several lists is one more condition.
#[derive(Default)]
struct Ports {
    destination: Option<Vec<PortRange>>,
    source: Option<Vec<PortRange>>,
}

/// Parses one line into the rules that it stands for.
fn rule(words: &[&str]) -> Result<Vec<MarkRule>, String> {
    let (mut destination, mut source, mut interface) = (None, None, None);
    let (mut transport, mut mark) = (None, None);
    let mut ports = Ports::default();
    let mut words = words.iter().skip(2);
    while let Some(&option) = words.next() {
        let value = words
            .next()
            .copied()
            .ok_or_else(|| format!("{option} without a value"))?;
        match option {
            "-d" => destination = Some(network(value)?),
            "-s" => source = Some(network(value)?),
            "-i" => interface = Some(value.to_owned()),
            "-p" => transport = protocol(value)?,
            "--dport" | "--dports" => collect(value, &mut ports.destination)?,
            "--sport" | "--sports" => collect(value, &mut ports.source)?,
            "--set-xmark" | "--set-mark" => mark = Some(number(value)?),
            // Their own options are among those above, or refused.
            "-m" | "-j" => {}
            other => return Err(format!("{other} {value}")),
        }
    }
    // Netfilter's rule is about all packets, of which IPVS takes those for the machine itself; the director
    // does not know beforehand which these are.
    let destination = destination.ok_or("no destination address (-d)")?;
    let mark = mark.ok_or("no --set-mark")?;
    let named = ports.destination.is_some() || ports.source.is_some();
    if transport.is_none() && named {
        return Err("ports without a protocol (-p)".to_owned());
    }
    let each = |ranges: Option<Vec<PortRange>>| match ranges {
        Some(ranges) => ranges.into_iter().map(Some).collect(),
        None => vec![None],
    };
    let (destination_ports, source_ports) = (each(ports.destination), each(ports.source));
    if destination_ports.len() * source_ports.len() > MAX_RULES {
        return Err(format!("more than {MAX_RULES} combinations of ports"));
    }
    let pairs = destination_ports
        .iter()
        .flat_map(|to| source_ports.iter().map(move |from| (*to, *from)));
    pairs
        .map(|(to, from)| {
            let rule = MarkRule {
                protocol: transport,
                address: SocketAddr::new(destination.address, to.map_or(0, |ports| ports.first)),
                prefix: Some(destination.prefix),
                last_port: to.map(|ports| ports.last),
                source,
                source_ports: from,
                interface: interface.clone(),
                mark,
            };
            rule.canonical()
        })
        .collect()
}

fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|_| format!("the address {text}"))
}

fn collect(text: &str, ports: &mut Option<Vec<PortRange>>) -> Result<(), String> {
    if ports.is_some() {
        return Err(format!("two lists of ports ({text})"));
    }
    let wrong = |_| format!("the ports {text}");
    let ranges: Result<_, _> = text.split(',').map(str::parse).collect();
    *ports = Some(ranges.map_err(wrong)?);
    Ok(())
}

/// A mark that takes the place of whatever mark there was.
fn number(text: &str) -> Result<u32, String> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    };
    match (parse(value), parse(mask)) {
        (Some(mark), Some(u32::MAX)) if mark != 0 => Ok(mark),
        _ => Err(format!("the mark {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark_options::Options;
    use proptest::prelude::*;

    const SAVED: &str = "\
*filter
-A INPUT -d 10.0.0.9/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x9/0xffffffff
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.0.0.3/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1/0xffffffff
-A PREROUTING -d 10.0.0.4/32 -p udp -j MARK --set-mark 2
-A PREROUTING -d 10.0.0.5/32 -p tcp -m tcp --dport 20:22 -j MARK --set-xmark 0x3/0xffffffff
-A PREROUTING -s 192.0.2.0/24 -d 10.0.0.3/32 -p tcp -j MARK --set-xmark 0x4/0xffffffff
-A PREROUTING -d 10.0.0.0/24 -i eth0 -p tcp -m tcp --sport 1024:65535 --dport 80 -j MARK --set-xmark 0x5/0xffffffff
-A PREROUTING -d 10.0.0.7/32 -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING ! -s 10.0.0.0/8 -d 10.0.0.7/32 -p tcp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.7/32 -i eth+ -p tcp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.7/32 -p icmp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.6/32 -p tcp -j MARK --set-xmark 0x5/0xff
-A PREROUTING -d 10.0.0.6/32 -j ACCEPT
COMMIT
";

    #[test]
    fn rules_are_followed_or_named() {
        let marks = read(SAVED);
        let text: Vec<String> = marks
            .rules
            .iter()
            .map(|rule| Options(rule).to_string())
            .collect();
        assert_eq!(
            text,
            [
                "--mark 1 -t 10.0.0.3:80",
                "--mark 1 -t 10.0.0.3:443",
                "--mark 2 -u 10.0.0.4:0",
                "--mark 3 --protocol tcp --destination 10.0.0.5/32 --dport 20:22",
                "--mark 4 -t 10.0.0.3:0 --source 192.0.2.0/24",
                "--mark 5 --protocol tcp --destination 10.0.0.0/24 --dport 80 --sport 1024:65535 \
                 --in-interface eth0",
                "--mark 6 --destination 10.0.0.7/32",
            ]
        );
        let (lines, reasons): (Vec<usize>, Vec<&str>) = marks
            .others
            .iter()
            .map(|(line, why)| (*line, why.as_str()))
            .unzip();
        assert_eq!(lines, [12, 13, 14, 15, 16], "{reasons:?}");
        let words = [
            "no destination",
            "! -s",
            "eth+",
            "protocol icmp",
            "the mark 0x5/0xff",
        ];
        for (why, word) in reasons.iter().zip(words) {
            assert!(why.contains(word), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~\n]{0,200}") {
            read(&format!("*mangle\n-A X -j MARK {text}"));
        }
    }
}
