//! Firewall marks: services by mark, and the rules that mark packets.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use lvs_api::model::Family::{self, Ipv4, Ipv6};
use lvs_api::model::Method::{self, Direct, Nat};
use lvs_api::model::Protocol::{Tcp, Udp};
use lvs_tests::lab::addresses::{FAMILIES, server, virtual_address};
use lvs_tests::lab::director::{method_flag, server_name, service, service_name};
use lvs_tests::lab::{Arms, Lab, Missing, find, skipped};
use lvs_tests::pairs;

fn mark_name(mark: u32, family: Family) -> String {
    let six = if family == Ipv6 { " -6" } else { "" };
    format!("-f {mark}{six}")
}

/// A service for a mark with all real servers, and rules that mark TCP and UDP to a virtual address.
fn marked(mark: u32, family: Family, method: Method, options: &str) -> String {
    let name = mark_name(mark, family);
    let mut lines = format!("-A {name} -s rr {options}\n");
    for number in 1..=Lab::SERVERS {
        let (server, flag) = (server_name(family, number), method_flag(method));
        let _ = writeln!(lines, "-a {name} {server} {flag} -w 1");
    }
    for protocol in [Tcp, Udp] {
        let _ = writeln!(
            lines,
            "--mark {mark} {}",
            service_name(protocol, family, method)
        );
    }
    lines
}

#[test]
fn persistence_spans_all_ports_of_a_firewall_mark() {
    let lines: String = [(1, Direct), (2, Nat)]
        .into_iter()
        .flat_map(|(mark, method)| FAMILIES.map(|family| marked(mark, family, method, "-p 300")))
        .collect();
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, [Direct, Nat]) {
        let address = virtual_address(family, method);
        let mut answers = lab.client.get_many(address, 3).unwrap();
        for _ in 0..3 {
            let asked = SocketAddr::new(address, 80);
            answers.push(lab.client.ask(asked, "hello").unwrap().trim().to_owned());
        }
        let [first, .., last] = answers.as_slice() else {
            unreachable!("there are six");
        };
        assert!(
            last.starts_with(first.as_str()) && answers[..3].iter().all(|name| name == first),
            "{method:?} over {family:?}: {answers:?}"
        );
    }
    let connections = lab.director.lvsadm("-Lcn").unwrap();
    // As IPVS lists it: protocol IP, the mark in the place of the address.
    let template = |line: &&str| line.starts_with("IP ") && line.contains("0.0.0.1:0");
    assert_eq!(
        connections.lines().filter(template).count(),
        1,
        "{connections}"
    );
}

#[test]
fn mark_rules_outlive_the_daemon_and_their_service() {
    let Some(lab) = Lab::for_story(Arms::Two, &marked(7, Ipv4, Direct, "")) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let rules = lab.director.lvsadm("--list-marks").unwrap();
    assert_eq!(rules.lines().count(), 2, "{rules}");
    lab.director.restart().unwrap();
    assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), rules);
    let mut names = lab.client.get_many(address, 3).unwrap();
    names.sort_unstable();
    assert_eq!(names, ["server1", "server2", "server3"]);

    lab.director.lvsadm("-D -f 7").unwrap();
    lab.director.restart().unwrap();
    assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), rules);
    assert!(lab.client.get(address).is_err());
    let (_, service) = (rules, "-A -f 7 -s rr\n");
    let server = server_name(Ipv4, 2);
    lab.director
        .restore(&format!("{service}-a -f 7 {server} -g\n"))
        .unwrap();
    assert_eq!(lab.client.get(address).unwrap(), "server2");
}

#[test]
fn an_address_and_port_have_either_a_mark_or_a_service() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Tcp, Ipv4, Direct, "rr")) else {
        return;
    };
    let name = service_name(Tcp, Ipv4, Direct);
    let refused = |line: &str, words: &str| {
        let output = lab.director.try_lvsadm(line).unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(255), "{line}: {text}");
        assert!(text.contains(words), "{line}: {text}");
    };
    refused(
        &format!("--mark 3 {name}"),
        "a virtual service of their own",
    );
    lab.director.lvsadm(&format!("-D {name}")).unwrap();
    lab.director.lvsadm(&format!("--mark 3 {name}")).unwrap();
    refused(&format!("-A {name} -s rr"), "carry the mark 3");
    lab.director.lvsadm(&format!("--mark 0 {name}")).unwrap();
    refused(&format!("--mark 0 {name}"), "No such service");
    lab.director.lvsadm(&format!("-A {name} -s rr")).unwrap();
    assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), "");
}

#[test]
fn fwmark_services_of_ldirectord_cf_follow_the_marks_of_iptables() {
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    if skipped(
        find("iptables")
            .map(drop)
            .ok_or_else(|| Missing("iptables is not installed: run `cargo xtask setup`".into())),
    ) {
        return;
    }
    let address = virtual_address(Ipv4, Direct);
    let mut rule = Command::new("iptables");
    rule.args("-t mangle -A PREROUTING -p tcp --dport 80 -j MARK --set-mark 4 -d".split(' '))
        .arg(address.to_string());
    assert!(
        lab.director
            .namespace()
            .output(&mut rule)
            .unwrap()
            .status
            .success()
    );

    let mut reals = String::new();
    for number in 1..=Lab::SERVERS {
        let _ = writeln!(reals, "    real={}:80 gate", server(Ipv4, number));
    }
    let file = format!(
        "checkinterval=1\nvirtual=4\n{reals}    scheduler=rr\n    checktype=connect\n    protocol=fwm\n    \
         checkport=80\n"
    );
    lab.director.stop().unwrap();
    lab.director.start_configured(&file).unwrap();
    let mut names = lab.client.get_many(address, 3).unwrap();
    names.sort_unstable();
    assert_eq!(
        names,
        ["server1", "server2", "server3"],
        "{}",
        lab.director.log_tail()
    );
}
