//! Rules that mark packets, parsed from the output of `iptables-save` and `ip6tables-save`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use lvs_api::model::Protocol;
use lvs_api::protocol::MarkRule;

/// Ports a rule may name, all in all: more are better given by port 0.
const MAX_PORTS: usize = 1024;

/// The hint for rules that cannot be followed.
pub const LIMIT: &str = "packets are told by destination address, protocol and port only";

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

/// Parses one line into the rules that it stands for.
fn rule(words: &[&str]) -> Result<Vec<MarkRule>, String> {
    let (mut address, mut protocol, mut mark) = (None, None, None);
    let mut ports = BTreeSet::new();
    let mut words = words.iter().skip(2);
    while let Some(&option) = words.next() {
        let value = words
            .next()
            .copied()
            .ok_or_else(|| format!("{option} without a value"))?;
        match option {
            "-d" => address = Some(host(value)?),
            "-p" => {
                protocol = Some(match value {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    "sctp" => Protocol::Sctp,
                    other => return Err(format!("protocol {other}")),
                });
            }
            "--dport" | "--dports" => collect(value, &mut ports)?,
            "--set-xmark" | "--set-mark" => mark = Some(number(value)?),
            // Their own options are among those above, or refused.
            "-m" | "-j" => {}
            other => return Err(format!("{other} {value}")),
        }
    }
    let address = address.ok_or("no destination address (-d)")?;
    let protocol = protocol.ok_or("no protocol (-p)")?;
    let mark = mark.ok_or("no --set-mark")?;
    if ports.is_empty() {
        ports.insert(0);
    }
    let rule = |port| MarkRule {
        protocol,
        address: SocketAddr::new(address, port),
        mark,
    };
    Ok(ports.into_iter().map(rule).collect())
}

fn host(text: &str) -> Result<IpAddr, String> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("the destination {text}"))?;
    let whole = if address.is_ipv4() { "32" } else { "128" };
    if prefix.is_empty() || prefix == whole {
        Ok(address)
    } else {
        Err(format!("a network as destination ({text})"))
    }
}

fn collect(text: &str, ports: &mut BTreeSet<u16>) -> Result<(), String> {
    let wrong = || format!("the ports {text}");
    for part in text.split(',') {
        let (first, last) = part.split_once(':').unwrap_or((part, part));
        let first: u16 = first.parse().map_err(|_| wrong())?;
        let last: u16 = last.parse().map_err(|_| wrong())?;
        ports.extend((first..=last).take(MAX_PORTS + 1));
        if ports.len() > MAX_PORTS {
            return Err(format!("more than {MAX_PORTS} ports ({text})"));
        }
    }
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
-A PREROUTING -d 10.0.0.0/24 -p tcp -j MARK --set-xmark 0x5/0xffffffff
-A PREROUTING -d 10.0.0.6/32 -p tcp -j MARK --set-xmark 0x5/0xff
-A PREROUTING -d 10.0.0.6/32 -j ACCEPT
COMMIT
";

    #[test]
    fn rules_by_destination_are_followed_and_others_named() {
        let marks = read(SAVED);
        let text: Vec<String> = marks
            .rules
            .iter()
            .map(|rule| format!("{:?} {} {}", rule.protocol, rule.address, rule.mark))
            .collect();
        assert_eq!(
            text,
            [
                "Tcp 10.0.0.3:80 1",
                "Tcp 10.0.0.3:443 1",
                "Udp 10.0.0.4:0 2",
                "Tcp 10.0.0.5:20 3",
                "Tcp 10.0.0.5:21 3",
                "Tcp 10.0.0.5:22 3",
            ]
        );
        assert_eq!(
            marks.others,
            [
                (9, "-s 192.0.2.0/24".to_owned()),
                (10, "a network as destination (10.0.0.0/24)".to_owned()),
                (11, "the mark 0x5/0xff".to_owned()),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~\n]{0,200}") {
            read(&format!("*mangle\n-A X -j MARK {text}"));
        }
    }
}
