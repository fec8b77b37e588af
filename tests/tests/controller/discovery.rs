//! Real servers beside those of the file: those of names, as dnsmasq answers, and those added by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lvs_api::model::Family::Ipv4;
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
