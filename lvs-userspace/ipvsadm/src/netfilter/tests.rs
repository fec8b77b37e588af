use super::*;
use crate::mark_options::Options;
use proptest::prelude::*;

/// The rules as options of `--mark`.
fn options(marks: &Marks) -> Vec<String> {
    let rules = marks.rules.iter();
    rules.map(|rule| Options(rule).to_string()).collect()
}

/// The rules that lines of the chain PREROUTING stand for; all of them can be followed.
fn followed(lines: &[&str]) -> Vec<String> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| format!("-A PREROUTING {line}\n"))
        .collect();
    let marks = read(&format!("*mangle\n{}COMMIT\n", lines.concat()));
    assert_eq!(marks.others, []);
    options(&marks)
}

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
-A PREROUTING -d 10.0.1.0/24 -i eth0 -p tcp -m tcp --sport 1024:65535 --dport 80 -j MARK --set-xmark 0x5/0xffffffff
-A PREROUTING -d 10.0.0.7/32 -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING ! -s 10.0.0.0/8 -d 10.0.0.8/32 -p tcp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.9/32 -i eth+ -p tcp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.7/32 -p icmp -j MARK --set-xmark 0x6/0xffffffff
-A PREROUTING -d 10.0.0.6/32 -p tcp -j MARK --set-xmark 0x5/0xff
-A PREROUTING -d 10.0.0.6/32 -m set --match-set good src -j MARK --set-xmark 0x5/0xff
-A PREROUTING -d 10.0.0.6/32 -j ACCEPT
COMMIT
";

#[test]
fn rules_are_followed_or_named() {
    let marks = read(SAVED);
    assert_eq!(
        options(&marks),
        [
            "--mark 1 -t 10.0.0.3:80",
            "--mark 1 -t 10.0.0.3:443",
            "--mark 2 -u 10.0.0.4:0",
            "--mark 3 --protocol tcp --destination 10.0.0.5/32 --dport 20:22",
            "--mark 4 -t 10.0.0.3:0 --source 192.0.2.0/24",
            "--mark 5 --protocol tcp --destination 10.0.1.0/24 --dport 80 --sport 1024:65535 --in-interface eth0",
            "--mark 6 --destination 10.0.0.7/32",
            "--mark 6 -t 10.0.0.8:0",
            "--mark none -t 10.0.0.8:0 --source 10.0.0.0/8",
            "--mark 6 -t 10.0.0.9:0 --in-interface eth+",
            "--mark 5 -t 10.0.0.6:0",
        ]
    );
    let (lines, reasons): (Vec<usize>, Vec<&str>) = marks
        .others
        .iter()
        .map(|(line, why)| (*line, why.as_str()))
        .unzip();
    assert_eq!(lines, [12, 15, 17], "{reasons:?}");
    let words = ["no destination", "protocol icmp", "--match-set good"];
    for (why, word) in reasons.iter().zip(words) {
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn what_is_negated_keeps_the_mark_it_had() {
    let lines = [
        "-d 10.0.0.3/32 -j MARK --set-mark 1",
        "! -i eth0 -d 10.0.0.3/32 -p tcp -m tcp ! --dport 80 -j MARK --set-mark 2",
    ];
    assert_eq!(
        followed(&lines),
        [
            "--mark 1 --destination 10.0.0.3/32",
            "--mark 2 -t 10.0.0.3:0",
            "--mark 1 -t 10.0.0.3:0 --in-interface eth0",
            "--mark 1 -t 10.0.0.3:80",
        ]
    );
    // As older versions wrote it; and all protocols but one.
    let lines = ["-s ! 10.1.0.0/16 -d 10.0.0.3/32 ! -p udp -j MARK --set-mark 2"];
    assert_eq!(
        followed(&lines),
        [
            "--mark 2 --destination 10.0.0.3/32",
            "--mark none --destination 10.0.0.3/32 --source 10.1.0.0/16",
            "--mark none -u 10.0.0.3:0",
        ]
    );
}

#[test]
fn rules_that_set_some_bits_add_up() {
    let lines = [
        "-d 10.0.0.0/24 -j MARK --set-xmark 0x1/0xf",
        "-d 10.0.0.3/32 -p tcp -j MARK --set-xmark 0x10/0xf0",
        "-d 10.0.0.3/32 -p tcp -m tcp --dport 80 -j MARK --set-mark 0x100/0x100",
        "-d 10.0.0.3/32 -p tcp -m tcp --dport 81 -j MARK --and-mark 0xf0",
        "-d 10.0.0.3/32 -p tcp -m tcp --dport 82 -j MARK --xor-mark 0x1",
    ];
    assert_eq!(
        followed(&lines),
        [
            "--mark 1 --destination 10.0.0.0/24",
            "--mark 17 -t 10.0.0.3:0",
            "--mark 273 -t 10.0.0.3:80",
            "--mark 16 -t 10.0.0.3:81",
            "--mark 16 -t 10.0.0.3:82",
        ]
    );
}

#[test]
fn chains_are_followed_to_where_they_return() {
    let text = "\
*nat
-A PREROUTING -d 10.0.0.3/32 -j ELSEWHERE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:WEB - [0:0]
:UNUSED - [0:0]
[7:420] -A PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A PREROUTING -i lo -j RETURN
[1:60] -A PREROUTING -d 10.0.0.0/24 -m comment --comment \"the web -j DROP\" -j WEB
[1:60] -A PREROUTING -m mark ! --mark 0x0 -j ACCEPT
[1:60] -A PREROUTING -d 10.0.0.9/32 -j LOG --log-prefix \"mark \"
[1:60] -A PREROUTING -d 10.0.0.9/32 -j MARK --set-xmark 0x9/0xffffffff
[0:0] -A WEB -p udp -j RETURN
[0:0] -A WEB -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m multiport --dports 80,8000:8080 \
-j MARK --set-xmark 0x1/0xffffffff
[0:0] -A WEB -m iprange --src-range 192.0.2.0-192.0.2.127 -p tcp -m tcp --dport 80 -g UNUSED
[0:0] -A WEB -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x2/0xffffffff
[0:0] -A FORWARD -d 10.0.0.77/32 -j MARK --set-xmark 0x7/0xffffffff
COMMIT
";
    let marks = read(text);
    assert_eq!(marks.others, []);
    assert_eq!(
        options(&marks),
        [
            "--mark 1 --protocol tcp --destination 10.0.0.0/24 --dport 80",
            "--mark none --protocol tcp --destination 10.0.0.0/24 --dport 80 --in-interface lo",
            "--mark 1 --protocol tcp --destination 10.0.0.0/24 --dport 8000:8080",
            "--mark none --protocol tcp --destination 10.0.0.0/24 --dport 8000:8080 --in-interface lo",
            "--mark 2 --protocol tcp --destination 10.0.0.0/24 --dport 443",
            "--mark none --protocol tcp --destination 10.0.0.0/24 --dport 443 --in-interface lo",
            "--mark 9 --destination 10.0.0.9/32",
            "--mark none --destination 10.0.0.9/32 --in-interface lo",
            "--mark 1 -t 10.0.0.9:80",
            "--mark none -t 10.0.0.9:80 --in-interface lo",
            "--mark 1 --protocol tcp --destination 10.0.0.9/32 --dport 8000:8080",
            "--mark none --protocol tcp --destination 10.0.0.9/32 --dport 8000:8080 --in-interface lo",
            "--mark 2 -t 10.0.0.9:443",
            "--mark none -t 10.0.0.9:443 --in-interface lo",
        ]
    );
}

#[test]
fn a_rule_that_says_who_comes_to_others_is_named_if_it_cannot_be_followed() {
    let lines = |first: &str, second: &str| {
        let text = format!("*mangle\n-A PREROUTING {first}\n-A PREROUTING {second}\nCOMMIT\n");
        let others = read(&text).others;
        others
            .into_iter()
            .map(|(line, _)| line)
            .collect::<Vec<usize>>()
    };
    let set = "-d 10.0.0.3/32 -j MARK --set-mark 1";
    for doubtful in [
        "-m set --match-set good src -j ACCEPT",
        "-m set --match-set good src -j RETURN",
        "-p tcp -j TPROXY --on-port 1",
    ] {
        assert_eq!(lines(doubtful, set), [2], "{doubtful}");
    }
    // Nothing is marked behind it, or it lets packets go on.
    assert_eq!(lines(set, "-m set --match-set good src -j ACCEPT"), [0; 0]);
    assert_eq!(lines("-m set --match-set good src -j LOG", set), [0; 0]);
    // The mark of a connection that begins.
    assert_eq!(lines("-j CONNMARK --restore-mark", set), [0; 0]);
}

#[test]
fn other_text_is_not_taken_for_a_table_without_rules() {
    let nftables = "table ip mangle {\n\tchain PREROUTING {\n\t}\n}\n";
    let commands = "# rules\niptables -t mangle -A PREROUTING -d 10.0.0.1 -j MARK --set-mark 1\n";
    for (text, line) in [(nftables, 1), (commands, 2)] {
        let marks = read(text);
        assert_eq!(marks.rules, []);
        assert_eq!(marks.others[0].0, line, "{text}");
    }
    assert_eq!(
        read("# Generated by iptables-save\n*filter\nCOMMIT\n"),
        Marks::default()
    );
    assert_eq!(read(""), Marks::default());
}

/// One packet, with what the rules below look at.
#[derive(Clone, Copy, Debug)]
struct Probe {
    source: u8,
    destination: u8,
    tcp: bool,
    port: u16,
    interface: u8,
}

/// A condition that both netfilter and the test know.
#[derive(Clone, Debug)]
enum Known {
    Source(u8),
    Port(u16, u16),
    Interface(u8),
    AnyEth,
    Tcp(bool),
}

impl Known {
    fn text(&self) -> String {
        match self {
            Self::Source(last) => format!("-s 192.0.2.{last}/32"),
            Self::Port(first, last) => format!("--dport {first}:{last}"),
            Self::Interface(number) => format!("-i eth{number}"),
            Self::AnyEth => "-i eth+".to_owned(),
            Self::Tcp(true) => "-p tcp".to_owned(),
            Self::Tcp(false) => "-p udp".to_owned(),
        }
    }

    fn holds(&self, probe: Probe) -> bool {
        match *self {
            Self::Source(last) => probe.source == last,
            Self::Port(first, last) => (first..=last).contains(&probe.port),
            Self::Interface(number) => probe.interface == number,
            Self::AnyEth => probe.interface != 9,
            Self::Tcp(tcp) => probe.tcp == tcp,
        }
    }
}

#[derive(Clone, Debug)]
struct Generated {
    destination: u8,
    conditions: Vec<(Known, bool)>,
    target: u8,
    value: u32,
    mask: u32,
}

impl Generated {
    fn holds(&self, probe: Probe) -> bool {
        let all = |(known, negated): &(Known, bool)| known.holds(probe) != *negated;
        (self.destination == 0 || probe.destination == self.destination)
            && self.conditions.iter().all(all)
    }

    /// The destination 0 stands for both.
    fn line(&self) -> String {
        let prefix = if self.destination == 0 { 24 } else { 32 };
        let mut line = format!("-A PREROUTING -d 10.0.0.{}/{prefix}", self.destination);
        for (known, negated) in &self.conditions {
            line += if *negated { " ! " } else { " " };
            line += &known.text();
        }
        let target = match self.target {
            0 => "-j RETURN\n".to_owned(),
            _ => format!("-j MARK --set-xmark {:#x}/{:#x}\n", self.value, self.mask),
        };
        line + " " + &target
    }
}

fn generated() -> impl Strategy<Value = Generated> {
    let known = prop_oneof![
        (1..3_u8).prop_map(Known::Source),
        (79..82_u16, 0..2_u16).prop_map(|(first, more)| Known::Port(first, first + more)),
        (0..2_u8).prop_map(Known::Interface),
        Just(Known::AnyEth),
        any::<bool>().prop_map(Known::Tcp),
    ];
    let conditions = prop::collection::vec((known, any::<bool>()), 0..3);
    let mask = prop_oneof![Just(u32::MAX), 0..16_u32];
    (0..3_u8, conditions, 0..5_u8, 0..8_u32, mask).prop_map(
        |(destination, conditions, target, value, mask)| Generated {
            destination,
            conditions,
            target,
            value,
            mask,
        },
    )
}

/// What netfilter makes of a packet.
fn netfilter(rules: &[Generated], probe: Probe) -> u32 {
    let mut mark = 0;
    for rule in rules.iter().filter(|rule| rule.holds(probe)) {
        match rule.target {
            0 => break,
            _ => mark = (mark & !rule.mask) ^ rule.value,
        }
    }
    mark
}

/// What the director makes of it: the last rule holds.
fn director(rules: &[MarkRule], probe: Probe) -> u32 {
    let holds = |rule: &&MarkRule| {
        let within = |network: lvs_api::mark::Network, address: [u8; 4]| {
            lvs_api::mark::Network::new(address.into(), network.prefix) == Ok(network)
        };
        let interface = format!("eth{}", probe.interface).replace("eth9", "wan9");
        let ports = match (rule.address.port(), rule.last_port) {
            (0, None) => 0..=u16::MAX,
            (first, last) => first..=last.unwrap_or(first),
        };
        let name = rule.interface.as_deref();
        within(rule.destination(), [10, 0, 0, probe.destination])
            && rule
                .source
                .is_none_or(|source| within(source, [192, 0, 2, probe.source]))
            && rule
                .protocol
                .is_none_or(|protocol| (protocol == lvs_api::model::Protocol::Tcp) == probe.tcp)
            && ports.contains(&probe.port)
            && name.is_none_or(|name| {
                let start = name.strip_suffix('+');
                start.map_or(name == interface, |start| interface.starts_with(start))
            })
    };
    rules.iter().rev().find(holds).map_or(0, |rule| rule.mark)
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[ -~\n]{0,200}") {
        read(&format!("*mangle\n-A PREROUTING -j MARK {text}"));
    }

    #[test]
    fn the_directors_rules_give_each_packet_netfilters_mark(
        rules in prop::collection::vec(generated(), 1..7),
    ) {
        let text: String = rules.iter().map(Generated::line).collect();
        let marks = read(&format!("*mangle\n{text}COMMIT\n"));
        prop_assert_eq!(&marks.others, &[]);
        for source in 1..4 {
            for destination in 1..4 {
                for port in 78..84 {
                    for interface in [0, 1, 2, 9] {
                        for tcp in [true, false] {
                            let probe = Probe { source, destination, tcp, port, interface };
                            prop_assert_eq!(
                                director(&marks.rules, probe),
                                netfilter(&rules, probe),
                                "{:?}\n{}{:?}", probe, text, options(&marks)
                            );
                        }
                    }
                }
            }
        }
    }
}
