//! Real servers beside those of the file: those of names, as dnsmasq answers, and those added by hand.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Missing, find, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::health_lab::{HealthLab, PATIENCE, QUICK, reals, virtual_service};

/// Port of the name server in the director's namespace.
const PORT: u16 = 5353;

/// dnsmasq, whose records can be changed.
struct NameServer {
    hosts: PathBuf,
    configuration: PathBuf,
    running: Option<Child>,
}

impl NameServer {
    fn new(health: &HealthLab) -> Self {
        let folder = health.lab.folder();
        let server = Self {
            hosts: folder.join("hosts"),
            configuration: folder.join("dnsmasq.conf"),
            running: None,
        };
        fs::write(&server.hosts, "").unwrap();
        server
    }

    /// Starts it anew with these lines of its configuration; hosts have a time to live of a second.
    fn start(&mut self, health: &HealthLab, lines: &str) {
        self.stop();
        let text = format!(
            "port={PORT}\nno-resolv\nno-hosts\nlocal-ttl=1\nbind-interfaces\nlisten-address=127.0.0.1\n"
        );
        let hosts = format!("addn-hosts={}\n", self.hosts.display());
        fs::write(&self.configuration, text + &hosts + lines).unwrap();
        let file = self.configuration.display();
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq
            .args(["--keep-in-foreground", "--user=root", "--pid-file"])
            .arg(format!("--conf-file={file}"))
            .stderr(Stdio::null());
        let namespace = health.lab.director.namespace();
        self.running = Some(namespace.spawn(&mut dnsmasq).unwrap());
        let port = format!(":{PORT}");
        let listens = || {
            let found = namespace.run("ss", &["-Hlun", "sport", "=", &port]);
            !found.unwrap().is_empty()
        };
        assert!(eventually(PATIENCE, listens), "dnsmasq does not listen");
    }

    /// These servers have the name.
    fn have(&self, name: &str, numbers: &[u8]) {
        let mut text = String::new();
        for number in numbers {
            let _ = writeln!(text, "{} {name}", server(Ipv4, *number));
        }
        self.have_lines(&text);
    }

    /// These lines of `/etc/hosts` hold.
    fn have_lines(&self, text: &str) {
        fs::write(&self.hosts, text).unwrap();
        if let Some(running) = &self.running {
            let pid = Pid::from_raw(running.id().try_into().unwrap());
            kill(pid, Signal::SIGHUP).unwrap();
        }
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A lab that is not started, and its name server; none where there is no dnsmasq.
fn lab(lines: &str) -> Option<(HealthLab, NameServer)> {
    let dnsmasq = find("dnsmasq").map(drop);
    if skipped(dnsmasq.ok_or_else(|| Missing("dnsmasq".to_owned()))) {
        return None;
    }
    let global = format!("nameserver = 127.0.0.1:{PORT}\n");
    let health = HealthLab::of_none(&(QUICK.to_owned() + &global + &virtual_service(lines)))?;
    let server = NameServer::new(&health);
    Some((health, server))
}

#[test]
fn the_addresses_of_a_name_are_real_servers_that_come_and_go_with_its_records() {
    let Some((health, mut names)) = lab("servers = web.example.com:80 masq 5") else {
        return;
    };
    names.start(&health, "");
    names.have("web.example.com", &[1, 2]);
    health.start();
    health.becomes("1=5 2=5");
    assert_eq!(health.answering(), ["server1", "server2"]);
    names.have("web.example.com", &[2, 3]);
    health.becomes("2=5 3=5");
    health.logs("servers of web.example.com: ");
    let listed = health.lab.director.lvsadm("status").unwrap();
    assert!(listed.contains("(web.example.com)"), "{listed}");
    // Nobody answers: everything stays, and is said.
    names.stop();
    health.logs("the last 2 servers stay");
    let listed = health.lab.director.lvsadm("status").unwrap();
    assert!(listed.contains("servers of web.example.com: "), "{listed}");
    assert_eq!(health.table(), "2=5 3=5");
    // Also over a restart and a reload.
    health.lab.director.stop().unwrap();
    health.start();
    health.becomes("2=5 3=5");
    health.reload().unwrap();
    assert_eq!(health.table(), "2=5 3=5");
    // An answer without addresses is another thing.
    names.start(&health, "");
    names.have("web.example.com", &[1]);
    health.becomes("1=5");
    names.start(&health, "address=/example.com/\n");
    names.have("web.example.com", &[]);
    health.becomes("");
    health.logs("servers of web.example.com: there are none");
}

#[test]
fn srv_records_have_ports_weights_and_priorities() {
    let Some((health, mut names)) = lab("servers = _http._tcp.example.com masq") else {
        return;
    };
    let mut hosts = String::new();
    for number in 1..=3 {
        let _ = writeln!(
            hosts,
            "host-record=rs{number}.example.com,{}",
            server(Ipv4, number)
        );
    }
    let record = |number: u8, priority: u8, weight: u8| {
        format!("srv-host=_http._tcp.example.com,rs{number}.example.com,80,{priority},{weight}\n")
    };
    let all = hosts.clone() + &record(1, 10, 5) + &record(2, 10, 7) + &record(3, 20, 9);
    names.start(&health, &all);
    health.start();
    // The third is a backup server.
    health.becomes("1=5 2=7 3=0");
    names.start(&health, &(hosts + &record(2, 10, 8) + &record(3, 20, 9)));
    health.becomes("2=8 3=0");
}

#[test]
fn each_family_of_a_name_with_both_serves_the_services_of_its_own() {
    let Some((health, mut names)) = lab("servers = web.example.com:80 masq 5") else {
        return;
    };
    let six = virtual_address(Ipv6, Nat);
    let file = format!(
        "{QUICK}nameserver = 127.0.0.1:{PORT}\n{}virtual6 = [{six}]:80\n        checktype = connect\n        \
         servers = web.example.com:80 masq 6\n        servers = _http._tcp.example.com masq\n",
        virtual_service("servers = web.example.com:80 masq 5")
    );
    health.write(&file);
    let all = [Ipv4, Ipv6].map(|family| [1, 2, 3].map(|number| server(family, number)));
    let [four, six] = &all;
    // The targets of SRV records have both kinds, too. A host without records of a kind is known all the same.
    let srv = format!(
        "local=/example.com/\nhost-record=rs3.example.com,{},{}\n\
         srv-host=_http._tcp.example.com,rs3.example.com,80,10,9\n",
        four[2], six[2]
    );
    names.start(&health, &srv);
    let lines = |addresses: &[IpAddr]| -> String {
        let line = |address: &IpAddr| format!("{address} web.example.com\n");
        addresses.iter().map(line).collect()
    };
    let table = || {
        let rules = health.lab.director.lvsadm("-Sn").unwrap();
        let servers = rules.lines().filter(|line| line.starts_with("-a"));
        let mut servers: Vec<_> = servers
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let server: SocketAddr = words[4].parse().unwrap();
                (server.ip(), words[words.len() - 1].to_owned())
            })
            .collect();
        servers.sort();
        servers
    };
    let becomes = |expected: &[(IpAddr, &str)]| {
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(address, weight)| (*address, (*weight).to_owned()))
            .collect();
        expected.sort();
        let holds = eventually(PATIENCE, || table() == expected);
        assert!(holds, "expected {expected:?}, found {:?}", table());
    };
    names.have_lines(&lines(&[four[0], four[1], six[0]]));
    health.start();
    let by_srv = (six[2], "9");
    becomes(&[(four[0], "5"), (four[1], "5"), (six[0], "6"), by_srv]);
    // AAAA records alone change.
    names.have_lines(&lines(&[four[0], four[1], six[1]]));
    becomes(&[(four[0], "5"), (four[1], "5"), (six[1], "6"), by_srv]);
    // One kind of records is gone: the other services keep theirs.
    names.have_lines(&lines(&[six[0], six[1]]));
    becomes(&[(six[0], "6"), (six[1], "6"), by_srv]);
    names.have_lines(&lines(&[four[1]]));
    becomes(&[(four[1], "5"), by_srv]);
}

#[test]
fn a_server_added_by_hand_is_shown_as_not_checked_and_checked_if_asked() {
    let file = QUICK.to_owned() + &virtual_service(&reals(&[1]));
    let Some(mut health) = HealthLab::of(&file) else {
        return;
    };
    health.becomes("1=5");
    let service = format!("{}:80", virtual_address(Ipv4, Nat));
    let third = format!("{}:80", server(Ipv4, 3));
    let lvsadm = |line: &str| health.lab.director.lvsadm(line).unwrap();
    lvsadm(&format!("-a -t {service} -r {third} -m -w 3"));
    let listed = lvsadm("status");
    let line = listed.lines().find(|line| line.contains(&third)).unwrap();
    assert!(line.contains("not checked"), "{listed}");
    lvsadm(&format!("server {service} {third} add --check"));
    let checked = || {
        let listed = lvsadm("status");
        listed
            .lines()
            .any(|line| line.contains(&third) && line.contains(" up "))
    };
    assert!(eventually(PATIENCE, checked), "{}", lvsadm("status"));
    // One that is not in the tables yet has the method of the others.
    let second = format!("{}:80", server(Ipv4, 2));
    lvsadm(&format!("server {service} {second} add --check --weight 2"));
    health.becomes("1=5 2=2 3=3");
    // It is kept over a reload and a restart, without data path.
    health.write(&(file.clone() + "\n# changed\n"));
    health.reload().unwrap();
    assert_eq!(health.table(), "1=5 2=2 3=3");
    health.lab.director.stop().unwrap();
    health.start_with(&["--reset"]);
    health.becomes("1=5 2=2 3=3");
    health.lab.servers[2].crash();
    health.becomes("1=5 2=2");
    health.lab.servers[2].recover().unwrap();
    health.becomes("1=5 2=2 3=3");
    let lvsadm = |line: &str| health.lab.director.lvsadm(line).unwrap();
    lvsadm(&format!("server {service} {third} remove"));
    health.becomes("1=5 2=2");
    let refused = |line: &str| {
        let output = health.lab.director.try_lvsadm(line).unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = refused(&format!("server {service} {third} remove"));
    assert!(text.contains("added by hand"), "{text}");
    let first = server(Ipv4, 1);
    let text = refused(&format!("server {service} {first} add --check"));
    assert!(text.contains("in the file"), "{text}");
    let text = refused(&format!("server {service} {third} add"));
    assert!(text.contains("--check"), "{text}");
}

#[test]
fn a_server_added_by_hand_that_fails_its_first_check_leaves() {
    let Some(mut health) = HealthLab::of(&(QUICK.to_owned() + &virtual_service(&reals(&[1]))))
    else {
        return;
    };
    health.becomes("1=5");
    health.lab.servers[2].crash();
    let service = format!("{}:80", virtual_address(Ipv4, Nat));
    let third = format!("{}:80", server(Ipv4, 3));
    for line in [
        format!("-a -t {service} -r {third} -m -w 3"),
        format!("server {service} {third} add --check"),
    ] {
        health.lab.director.lvsadm(&line).unwrap();
    }
    health.becomes("1=5");
}
