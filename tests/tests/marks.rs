//! Firewall marks: services by mark, and the rules that mark packets.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use lvs_api::model::Family::{self, Ipv4, Ipv6};
use lvs_api::model::Method::{self, Direct, Nat};
use lvs_api::model::Protocol::{Tcp, Udp};
use lvs_tests::lab::addresses::{FAMILIES, server, virtual_address};
use lvs_tests::lab::director::{method_flag, server_name, service_name};
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

/// The name of the only server that new connections to an address get to.
fn only_server(lab: &Lab) -> String {
    let address = virtual_address(Ipv4, Direct);
    let mut names = lab.client.get_many(address, 4).unwrap();
    names.dedup();
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

/// A service for the address with server 1, and one for each of the marks 2 and 3 with the server of that number.
fn side_by_side() -> String {
    let name = service_name(Tcp, Ipv4, Direct);
    let mut lines = format!("-A {name} -s rr\n-a {name} {} -g\n", server_name(Ipv4, 1));
    for mark in [2, 3] {
        let server = server_name(Ipv4, mark);
        let _ = writeln!(lines, "-A -f {mark} -s rr\n-a -f {mark} {server} -g");
    }
    lines
}

#[test]
fn a_mark_comes_before_the_service_of_the_same_address() {
    let Some(lab) = Lab::for_story(Arms::Two, &side_by_side()) else {
        return;
    };
    let name = service_name(Tcp, Ipv4, Direct);
    assert_eq!(only_server(&lab), "server1");
    lab.director.lvsadm(&format!("--mark 3 {name}")).unwrap();
    assert_eq!(only_server(&lab), "server3");
    // A mark without a service leaves its packets to the address'.
    lab.director.lvsadm("-D -f 3").unwrap();
    assert_eq!(only_server(&lab), "server1");
    lab.director.lvsadm(&format!("--mark 2 {name}")).unwrap();
    assert_eq!(only_server(&lab), "server2");
    lab.director.restart().unwrap();
    assert_eq!(only_server(&lab), "server2");
    lab.director.lvsadm(&format!("--mark 0 {name}")).unwrap();
    assert_eq!(only_server(&lab), "server1");
    let output = lab
        .director
        .try_lvsadm(&format!("--mark 0 {name}"))
        .unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), "");
}

#[test]
fn rules_match_by_networks_ports_and_interfaces_and_the_last_one_holds() {
    let Some(lab) = Lab::for_story(Arms::Two, &side_by_side()) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let rule = |options: &str| lab.director.lvsadm(&format!("--mark {options}")).unwrap();
    let network = format!("--destination {address}/24 --protocol tcp");
    for (options, server) in [
        (format!("2 {network}"), "server2"),
        (format!("3 {network} --dport 80:90"), "server3"),
        (format!("2 {network} --dport 81:90"), "server3"),
        (format!("2 {network} --source 0.0.0.0/1"), "server2"),
        (format!("3 {network} --source 192.0.2.0/24"), "server2"),
        (
            format!("3 --destination {address} --sport 1024:"),
            "server3",
        ),
        (
            format!("2 --destination {address} --in-interface lo"),
            "server3",
        ),
        (format!("2 {network} --in-interface nosuch0"), "server3"),
        // Set again: the last one.
        (format!("2 {network}"), "server2"),
    ] {
        rule(&options);
        assert_eq!(only_server(&lab), server, "{options}");
    }
    let rules = lab.director.lvsadm("--list-marks").unwrap();
    assert_eq!(rules.lines().count(), 8, "{rules}");
    lab.director.restart().unwrap();
    assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), rules);
    assert_eq!(only_server(&lab), "server2");
    rule(&format!("0 {network}"));
    assert_eq!(only_server(&lab), "server3");
    // An interface that comes later is found.
    let ingress = lab.director.interfaces()[0];
    let namespace = lab.director.namespace();
    rule(&format!("2 {network} --in-interface later0"));
    assert_eq!(only_server(&lab), "server3");
    let rename = |from: &str, to: &str| {
        let mut command = Command::new("ip");
        command.args(["link", "property", "add", "dev", from, "altname", to]);
        namespace.output(&mut command).unwrap().status.success()
    };
    if rename(ingress, "later0") {
        std::thread::sleep(std::time::Duration::from_secs(3));
        assert_eq!(only_server(&lab), "server2");
    }
}

/// Chains, negation, interfaces whose names begin alike, and rules that set some bits of a mark.
#[test]
fn chains_of_netfilter_are_imported_with_what_they_leave_out() {
    let Some(lab) = Lab::for_story(Arms::Two, &side_by_side()) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let client = lvs_tests::lab::addresses::client(Ipv4);
    let interface = lab.director.interfaces()[0];
    let (start, _) = interface.split_at(2);
    let import = |rules: &str| {
        let text = format!("*mangle\n:WEB - [0:0]\n{rules}COMMIT\n");
        let output = lab.director.feed("--import-marks", &text).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let clear = || {
        for line in lab.director.lvsadm("--list-marks").unwrap().lines() {
            let mut words: Vec<_> = line.split_whitespace().collect();
            words[1] = "0";
            lab.director.lvsadm(&words.join(" ")).unwrap();
        }
    };
    let web = format!("-A PREROUTING -d {address}/32 -p tcp -j WEB\n");
    for (rules, server) in [
        (
            format!("-A WEB -i {start}+ -m tcp ! --dport 81 -j MARK --set-mark 3\n"),
            "server3",
        ),
        (
            format!("-A WEB -j MARK --set-mark 3\n-A WEB ! -s {client} -j MARK --set-mark 2\n"),
            "server3",
        ),
        (
            "-A WEB -j MARK --set-mark 3\n-A WEB ! -i lo -j MARK --set-mark 2\n".to_owned(),
            "server2",
        ),
        (
            format!("-A WEB -i {interface} -j RETURN\n-A WEB -j MARK --set-mark 3\n"),
            "server1",
        ),
        (
            format!(
                "-A WEB -j MARK --set-xmark 0x2/0xf\n-A WEB -s {client} -j MARK --set-xmark 0x1/0x1\n"
            ),
            "server3",
        ),
    ] {
        assert_eq!(import(&format!("{web}{rules}")), (Some(0), String::new()));
        assert_eq!(only_server(&lab), server, "{rules}");
        let listed = lab.director.lvsadm("--list-marks").unwrap();
        lab.director.restart().unwrap();
        assert_eq!(lab.director.lvsadm("--list-marks").unwrap(), listed);
        assert_eq!(only_server(&lab), server, "{rules}, after a restart");
        clear();
        assert_eq!(only_server(&lab), "server1");
    }

    let doubtful = format!("-A PREROUTING -m set --match-set good src -j ACCEPT\n{web}");
    let (code, said) = import(&format!("{doubtful}-A WEB -j MARK --set-mark 2\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("line 3"), "{said}");
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
