//! One line of `iptables-save`: its conditions and its target.

use std::net::IpAddr;

use lvs_api::mark::{Network, PortRange};

use super::packets::{Layers, Packets, Region};
use crate::mark_options::protocol;

/// A rule of a chain.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its line, from 1.
    pub(super) line: usize,
    /// Its conditions, or the reason why they cannot be followed.
    pub(super) conditions: Result<Vec<Condition>, String>,
    pub(super) target: Result<Target, String>,
}

/// A condition of a rule.
#[derive(Debug)]
pub(super) enum Condition {
    /// The packet is of a region.
    Packet(Region),
    /// The packet's mark so far is this one, or is not, in the bits of the mask.
    Mark {
        value: u32,
        mask: u32,
        negated: bool,
    },
}

impl Condition {
    /// The packets that fulfil the condition.
    pub(super) fn region(&self, marks: &Layers<u32>) -> Region {
        match self {
            Self::Packet(region) => region.clone(),
            Self::Mark {
                value,
                mask,
                negated,
            } => marks.region(|mark| (mark & mask == *value) != *negated),
        }
    }
}

/// The target of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The mark becomes what is left of it in these bits, with others turned over.
    Mark { kept: u32, turned: u32 },
    /// The rest of the chain is not for them.
    Return,
    /// No other rule is for them.
    End,
    /// They go through another chain, and then on.
    Jump(String),
    /// They go through another chain instead of the rest of this one.
    Goto(String),
    /// Nothing that concerns marks.
    Nothing,
}

/// The words of a line; text in quotation marks is one of them.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut escaped) = (false, false);
    for letter in line.chars() {
        if letter.is_whitespace() && !quoted {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match letter {
            '\\' if quoted && !escaped => {
                escaped = true;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            letter => word.push(letter),
        }
        escaped = false;
    }
    words.extend(word);
    words
}

/// Parses the words behind `-A CHAIN`.
pub(super) fn rule(line: usize, words: &[String]) -> Rule {
    let at = words.iter().position(|word| word == "-j" || word == "-g");
    let (conditions, target) = words.split_at(at.unwrap_or(words.len()));
    Rule {
        line,
        conditions: parse_conditions(conditions),
        target: parse_target(target),
    }
}

fn parse_target(words: &[String]) -> Result<Target, String> {
    let [how, name, options @ ..] = words else {
        return Ok(Target::Nothing);
    };
    match name.as_str() {
        "MARK" => mark(options),
        "CONNMARK" => connection_mark(options),
        "RETURN" => Ok(Target::Return),
        // Whether dropped packets come at all is not for marks to say.
        "ACCEPT" | "DROP" | "REJECT" | "QUEUE" | "NFQUEUE" => Ok(Target::End),
        "TPROXY" | "HMARK" => Err(format!("the target {name}")),
        name if name.chars().all(|letter| !letter.is_ascii_lowercase()) && is_known(name) => {
            Ok(Target::Nothing)
        }
        name if how == "-g" => Ok(Target::Goto(name.to_owned())),
        name => Ok(Target::Jump(name.to_owned())),
    }
}

/// Targets that change no mark and let the packet go on.
fn is_known(target: &str) -> bool {
    const KNOWN: [&str; 15] = [
        "LOG",
        "NFLOG",
        "ULOG",
        "TRACE",
        "TCPMSS",
        "TCPOPTSTRIP",
        "DSCP",
        "TOS",
        "TTL",
        "HL",
        "ECN",
        "CHECKSUM",
        "CLASSIFY",
        "AUDIT",
        "TEE",
    ];
    KNOWN.contains(&target)
}

fn mark(options: &[String]) -> Result<Target, String> {
    let [option, value] = options else {
        return Err("no --set-mark".to_owned());
    };
    let wrong = || format!("the mark {value}");
    let (mark, mask) = masked(value).ok_or_else(wrong)?;
    let (kept, turned) = match option.as_str() {
        "--set-xmark" => (!mask, mark),
        "--set-mark" => (!(mask | mark), mark),
        "--or-mark" => (!mark, mark),
        "--and-mark" => (mark, 0),
        "--xor-mark" => (u32::MAX, mark),
        other => return Err(format!("{other} {value}")),
    };
    Ok(Target::Mark { kept, turned })
}

/// The mark of a connection that begins is 0: it is restored to the packet as that.
fn connection_mark(options: &[String]) -> Result<Target, String> {
    let mut restores = false;
    let mut mask = u32::MAX;
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--restore-mark" => restores = true,
            "--save-mark" => {}
            "--ctmask" | "--set-xmark" | "--set-mark" | "--and-mark" | "--or-mark"
            | "--xor-mark" => drop(options.next()),
            "--nfmask" | "--mask" => {
                let value = options.next().and_then(|value| number(value));
                mask = value.ok_or("the mask of CONNMARK")?;
            }
            other => return Err(format!("CONNMARK {other}")),
        }
    }
    Ok(if restores {
        Target::Mark {
            kept: !mask,
            turned: 0,
        }
    } else {
        Target::Nothing
    })
}

/// A number with a mask; without one, all bits count.
fn masked(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    Some((number(value)?, number(mask)?))
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse_conditions(words: &[String]) -> Result<Vec<Condition>, String> {
    let mut conditions = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(mut option) = words.next() {
        let mut negated = option == "!";
        if negated {
            option = words.next().ok_or("! without an option")?;
        }
        if option == "--syn" {
            conditions.extend(first_of_connection(negated));
            continue;
        }
        let missing = || format!("{option} without a value");
        let mut value = words.next().ok_or_else(missing)?;
        // As iptables wrote it once.
        if value == "!" {
            negated = !negated;
            value = words.next().ok_or_else(missing)?;
        }
        let not = if negated { "! " } else { "" };
        let unknown = || format!("{not}{option} {value}");
        match option {
            "-m" | "--match" | "--comment" => {}
            "-p" | "--protocol" => conditions.extend(of_protocol(value, negated)?),
            "--tcp-flags" => {
                let set = words.next().ok_or_else(missing)?;
                if !is_syn(value, set) {
                    return Err(format!("{not}{option} {value} {set}"));
                }
                conditions.extend(first_of_connection(negated));
            }
            "--mark" => {
                let (value, mask) = masked(value).ok_or_else(unknown)?;
                conditions.push(Condition::Mark {
                    value,
                    mask,
                    negated,
                });
            }
            "--ctstate" | "--state" => {
                // Only packets that begin a connection are asked about.
                let new = value.split(',').any(|state| state == "NEW");
                conditions.extend(constant(new != negated));
            }
            "--dst-type" if value == "LOCAL" => conditions.extend(constant(!negated)),
            _ => {
                let sets = sets(option, value)?.ok_or_else(unknown)?;
                conditions.push(Condition::Packet(Region::of(sets, negated)));
            }
        }
    }
    Ok(conditions)
}

/// A condition that all packets fulfil is none.
fn constant(fulfilled: bool) -> Option<Condition> {
    (!fulfilled).then(|| Condition::Packet(Region::all(false)))
}

/// All that are asked about are.
fn first_of_connection(negated: bool) -> Option<Condition> {
    constant(!negated)
}

/// True if flags and mask tell a SYN from others.
fn is_syn(mask: &str, set: &str) -> bool {
    let all = |wanted: &[&str]| {
        wanted
            .iter()
            .all(|flag| mask.split(',').any(|one| one == *flag))
    };
    set == "SYN" && all(&["SYN"])
}

fn of_protocol(text: &str, negated: bool) -> Result<Option<Condition>, String> {
    match protocol(text) {
        Ok(Some(protocol)) => {
            let packets = Packets {
                protocol: Some(protocol),
                ..Packets::default()
            };
            Ok(Some(Condition::Packet(Region::of([packets], negated))))
        }
        Ok(None) => Ok(constant(!negated)),
        // None of those that are balanced.
        Err(_) if negated => Ok(None),
        Err(why) => Err(why),
    }
}

/// The sets of packets that an option is about; `None`: it is not known.
fn sets(option: &str, value: &str) -> Result<Option<Vec<Packets>>, String> {
    let of = |set: fn(&mut Packets, Network), networks: Vec<Network>| {
        let each = networks.into_iter().map(|network| {
            let mut packets = Packets::default();
            set(&mut packets, network);
            packets
        });
        Some(each.collect())
    };
    let ports = |set: fn(&mut Packets, PortRange)| -> Result<Vec<Packets>, String> {
        let each = value.split(',').map(|range| {
            let range = range.parse().map_err(|_| format!("the ports {value}"))?;
            let mut packets = Packets::default();
            set(&mut packets, range);
            Ok(packets)
        });
        each.collect()
    };
    let destination = |packets: &mut Packets, network| packets.destination = Some(network);
    let source = |packets: &mut Packets, network| packets.source = Some(network);
    let to = |packets: &mut Packets, range| packets.destination_ports = Some(range);
    let from = |packets: &mut Packets, range| packets.source_ports = Some(range);
    Ok(match option {
        "-d" | "--destination" | "--dst" => of(destination, networks(value)?),
        "-s" | "--source" | "--src" => of(source, networks(value)?),
        "--dst-range" => of(destination, range(value)?),
        "--src-range" => of(source, range(value)?),
        "--dport" | "--dports" | "--destination-port" | "--destination-ports" => Some(ports(to)?),
        "--sport" | "--sports" | "--source-port" | "--source-ports" => Some(ports(from)?),
        "--ports" => Some([ports(to)?, ports(from)?].concat()),
        "-i" | "--in-interface" => {
            let interface = (value != "+").then(|| value.to_owned());
            Some(vec![Packets {
                interface,
                ..Packets::default()
            }])
        }
        _ => None,
    })
}

fn networks(text: &str) -> Result<Vec<Network>, String> {
    let wrong = |_| format!("the address {text}");
    let all: Result<_, _> = text.split(',').map(str::parse).collect();
    all.map_err(wrong)
}

/// The networks that a range of addresses consists of.
fn range(text: &str) -> Result<Vec<Network>, String> {
    let wrong = || format!("the addresses {text}");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let address = |text: &str| text.parse::<IpAddr>().map_err(|_| wrong());
    let (bits, first, last) = match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (32, u128::from(first.to_bits()), u128::from(last.to_bits()))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, first.to_bits(), last.to_bits()),
        _ => return Err(wrong()),
    };
    if last < first {
        return Err(wrong());
    }
    let mut networks = Vec::new();
    let mut next = Some(first);
    while let Some(first) = next.filter(|first| *first <= last) {
        // The largest network that begins here and does not go beyond the end.
        let beyond = |host: &u32| {
            let ones = u128::MAX.checked_shr(128 - host).unwrap_or(0);
            first & ones != 0 || first.checked_add(ones).is_none_or(|end| end > last)
        };
        let host = (1..=bits).find(beyond).unwrap_or(bits + 1) - 1;
        let address = if bits == 32 {
            IpAddr::V4(u32::try_from(first).map_err(|_| wrong())?.into())
        } else {
            IpAddr::V6(first.into())
        };
        let prefix = u8::try_from(bits - host).map_err(|_| wrong())?;
        networks.push(Network::new(address, prefix)?);
        let ones = u128::MAX.checked_shr(128 - host).unwrap_or(0);
        next = first.checked_add(ones).and_then(|end| end.checked_add(1));
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_quotation_marks_is_one_word() {
        let line = r#"-A X -m comment --comment "for \"all\" -j" -j MARK"#;
        let expected = [
            "-A",
            "X",
            "-m",
            "comment",
            "--comment",
            r#"for "all" -j"#,
            "-j",
            "MARK",
        ];
        assert_eq!(words(line), expected);
    }

    #[test]
    fn a_range_is_as_few_networks_as_can_be() {
        let text = |range_: &str| -> Vec<String> {
            let networks = range(range_).unwrap();
            networks.iter().map(ToString::to_string).collect()
        };
        assert_eq!(text("10.0.0.0-10.0.0.255"), ["10.0.0.0/24"]);
        assert_eq!(
            text("10.0.0.3-10.0.0.8"),
            ["10.0.0.3/32", "10.0.0.4/30", "10.0.0.8/32"]
        );
        assert_eq!(text("0.0.0.0-255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(text("2001:db8::-2001:db8::1"), ["2001:db8::/127"]);
        assert!(range("10.0.0.8-10.0.0.3").is_err());
    }
}
