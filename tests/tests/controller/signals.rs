//! What the data path notices of servers that die, and what it does for their clients.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lvs_api::model::Family::{self, Ipv4, Ipv6};
use lvs_api::model::Method::{self, Direct, Nat, Tunnel};
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::client::{Connections, Load, download_source};
use lvs_tests::lab::{Client, Lab};
use tempfile::TempDir;

use crate::health_lab::{HealthLab, PATIENCE, QUICK};

const SERVICES: [(Family, Method); 4] =
    [(Ipv4, Direct), (Ipv4, Nat), (Ipv4, Tunnel), (Ipv6, Direct)];

/// curl's exit code for a connection that was reset.
const RESET: i32 = 56;

fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:80"),
        IpAddr::V6(address) => format!("[{address}]:80"),
    }
}

/// A virtual service with all real servers and these lines.
fn service((family, method): (Family, Method), lines: &str) -> String {
    let version = match family {
        Ipv4 => "",
        Ipv6 => "6",
    };
    let how = match method {
        Nat => "masq",
        Tunnel => "ipip",
        Direct | Method::Local => "gate",
    };
    let to = address(virtual_address(family, method));
    let mut text = format!("virtual{version} = {to}\n");
    for number in 1..=Lab::SERVERS {
        let real = address(server(family, number));
        let _ = writeln!(text, "\treal{version} = {real} {how}");
    }
    for line in ["checktype = connect"].into_iter().chain(lines.lines()) {
        let _ = writeln!(text, "\t{line}");
    }
    text
}

/// Cuts a real server off, as a pulled plug or a crashed kernel does.
fn cut(lab: &Lab, number: u8) {
    link(lab, number, "down");
}

fn link(lab: &Lab, number: u8, state: &str) {
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "eth0", state]);
    let server = &lab.servers[usize::from(number) - 1];
    let output = server.namespace().output(&mut ip).unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Downloads that are under way, three from each service: one from each server.
struct Downloads(Vec<(String, String, Child)>);

impl Downloads {
    fn start(lab: &Lab, services: &[(Family, Method)]) -> Self {
        let mut all = Vec::new();
        for (number, &(family, method)) in services.iter().enumerate() {
            for turn in 1..=Lab::SERVERS {
                let url = Client::url(virtual_address(family, method), "/slow");
                let name = format!("download-{number}-{turn}");
                let (file, curl) = lab.client.start_download(&url, &name).unwrap();
                let begun = eventually(PATIENCE, || download_source(&file).is_some());
                assert!(begun, "{url} does not begin");
                let source = download_source(&file).unwrap();
                all.push((format!("{family:?} {method:?}"), source, curl));
            }
        }
        Self(all)
    }

    /// Exit codes of those from a server, once all of them have ended.
    fn ended(&mut self, number: u8) -> Vec<(String, Option<i32>)> {
        let name = format!("server{number}");
        let dead = self.0.extract_if(.., |(_, source, _)| *source == name);
        dead.map(|(service, _, mut curl)| (service, curl.wait().unwrap().code()))
            .collect()
    }

    /// The others end well.
    fn end(self) {
        for (service, source, mut curl) in self.0 {
            let status = curl.wait().unwrap();
            assert!(status.success(), "{service} from {source}: {status}");
        }
    }
}

#[test]
fn clients_that_wait_for_a_server_that_died_are_reset() {
    let services = SERVICES.map(|id| service(id, "ondown = reset"));
    let Some(health) = HealthLab::of(&(QUICK.to_owned() + &services.concat())) else {
        return;
    };
    let mut downloads = Downloads::start(&health.lab, &SERVICES);
    let moment = Instant::now();
    cut(&health.lab, 2);
    let ended = downloads.ended(2);
    println!("the last client was reset after {:?}", moment.elapsed());
    let expected = SERVICES.map(|(family, method)| (format!("{family:?} {method:?}"), Some(RESET)));
    assert_eq!(ended, expected);
    downloads.end();
    for (family, method) in SERVICES {
        let names = health
            .lab
            .client
            .get_many(virtual_address(family, method), 6);
        let names = names.unwrap();
        assert!(!names.contains(&"server2".to_owned()), "{names:?}");
    }
    let listed = health.lab.director.lvsadm("--verdicts").unwrap();
    assert!(listed.contains("answer-reset"), "{listed}");
}

#[test]
fn a_live_server_that_is_taken_for_dead_loses_its_connections_too() {
    let folder = TempDir::new().unwrap();
    let check = folder.path().join("check");
    // The server's machine and its program live; what they are asked for is something else.
    let script = format!("#!/bin/sh\ntest ! -e {}/$3\n", folder.path().display());
    std::fs::write(&check, script).unwrap();
    std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o755)).unwrap();
    let lines = format!(
        "ondown = reset\ncheck = external checkcommand={}",
        check.display()
    );
    let services = SERVICES.map(|id| service(id, &lines));
    let Some(health) = HealthLab::of(&(QUICK.to_owned() + &services.concat())) else {
        return;
    };
    let mut downloads = Downloads::start(&health.lab, &SERVICES);
    let open = || {
        let mut ss = Command::new("ss");
        ss.args(["-Htn", "state", "connected", "sport", "=", ":80"]);
        let output = health.lab.servers[1].namespace().output(&mut ss).unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines
            .lines()
            .filter(|line| !line.starts_with("SYN"))
            .count()
    };
    assert_eq!(open(), SERVICES.len());
    for family in [Ipv4, Ipv6] {
        std::fs::write(folder.path().join(server(family, 2).to_string()), "").unwrap();
    }
    let ended = downloads.ended(2);
    let expected = SERVICES.map(|(family, method)| (format!("{family:?} {method:?}"), Some(RESET)));
    assert_eq!(ended, expected);
    assert!(eventually(PATIENCE, || open() == 0), "{} are open", open());
    downloads.end();
}

/// A check that fails as soon as a file is there, and the lines that name it.
fn check(folder: &Path, fails: &Path) -> String {
    let check = folder.join("check");
    let script = format!("#!/bin/sh\ntest ! -e {}\n", fails.display());
    std::fs::write(&check, script).unwrap();
    std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "ondown = reset\ncheck = external checkcommand={}",
        check.display()
    )
}

/// Has a client's machine drop bare acknowledgements without a timestamp, which its servers send none of. So the
/// director cannot make it speak, as it cannot where a firewall knows the connections.
fn drop_keepalives(client: &Client) {
    let line = "-A INPUT -p tcp --tcp-flags ALL ACK ! --tcp-option 8 -j DROP";
    let line: Vec<_> = line.split_whitespace().collect();
    for program in ["iptables", "ip6tables"] {
        client.namespace().run(program, &line).unwrap();
    }
}

/// The ends of connections of each service over which nothing was sent, one to each server.
type Ends = [(Vec<TcpStream>, Vec<TcpStream>); SERVICES.len()];

/// A lab whose servers are down once the file that this names is there, with such connections.
fn idle_connections(folder: &Path, prepare: impl FnOnce(&HealthLab)) -> Option<(HealthLab, Ends)> {
    let lines = check(folder, &folder.join("fails"));
    let services = SERVICES.map(|id| service(id, &lines).replace(":80", ":81"));
    let health = HealthLab::of(&(QUICK.to_owned() + &services.concat()))?;
    prepare(&health);
    let listeners = health.lab.servers.iter().map(|server| {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 81));
        let listener = server.namespace().enter(|| TcpListener::bind(any));
        listener.unwrap().unwrap()
    });
    let listeners: Vec<_> = listeners.collect();
    let ends = SERVICES.map(|(family, method)| {
        let to = SocketAddr::new(virtual_address(family, method), 81);
        let connect = || TcpStream::connect_timeout(&to, PATIENCE);
        let clients = listeners.iter().map(|_| {
            let client = health.lab.client.namespace().enter(connect);
            client.unwrap().unwrap()
        });
        let clients: Vec<_> = clients.collect();
        let servers = listeners.iter().map(|it| it.accept().unwrap().0);
        (clients, servers.collect::<Vec<_>>())
    });
    Some((health, ends))
}

/// Reads from the end of a connection, which is reset.
fn is_reset(end: &mut TcpStream, text: &str) {
    end.set_read_timeout(Some(PATIENCE)).unwrap();
    let error = end.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{text}");
}

#[test]
fn both_ends_are_reset_by_the_only_segment_that_acknowledges() {
    let folder = TempDir::new().unwrap();
    let prepared = idle_connections(folder.path(), |health| drop_keepalives(&health.lab.client));
    let Some((health, ends)) = prepared else {
        return;
    };
    std::fs::write(folder.path().join("fails"), "").unwrap();
    let gone = || !health.lab.director.lvsadm("-Sn").unwrap().contains("-a");
    assert!(eventually(PATIENCE, gone));

    for (id, (clients, servers)) in SERVICES.iter().zip(ends) {
        for mut server in servers {
            server.write_all(b"x").unwrap();
            is_reset(&mut server, &format!("{id:?}: server"));
        }
        for mut client in clients {
            is_reset(&mut client, &format!("{id:?}: client"));
        }
    }
}

#[test]
fn a_reset_that_is_lost_on_its_way_to_a_server_is_sent_again() {
    let folder = TempDir::new().unwrap();
    let Some((health, ends)) = idle_connections(folder.path(), |_| ()) else {
        return;
    };
    let resets = |action: &str| {
        let line = format!("{action} INPUT -p tcp --tcp-flags RST RST -j DROP");
        let line: Vec<_> = line.split_whitespace().collect();
        for server in &health.lab.servers {
            for program in ["iptables", "ip6tables"] {
                server.namespace().run(program, &line).unwrap();
            }
        }
    };
    resets("-A");
    std::fs::write(folder.path().join("fails"), "").unwrap();
    let mut all = SERVICES.iter().zip(ends).collect::<Vec<_>>();
    for (id, (clients, _)) in &mut all {
        for client in clients {
            is_reset(client, &format!("{id:?}: client"));
        }
    }
    resets("-D");
    for (id, (_, servers)) in &mut all {
        for server in servers {
            is_reset(server, &format!("{id:?}: server"));
        }
    }
}

#[test]
fn connections_of_a_server_that_is_taken_out_or_leaves_the_file_follow_ondown() {
    let ids = [(Ipv4, Nat), (Ipv4, Direct)];
    let services = ids.map(|id| service(id, "ondown = reset")).concat();
    let file = QUICK.to_owned() + &services;
    let Some(health) = HealthLab::of(&file) else {
        return;
    };
    let mut downloads = Downloads::start(&health.lab, &ids);
    let expected = ids.map(|(family, method)| (format!("{family:?} {method:?}"), Some(RESET)));
    for (family, method) in ids {
        let to = address(virtual_address(family, method));
        let real = address(server(family, 2));
        let maint = format!("server {to} {real} maint");
        health.lab.director.lvsadm(&maint).unwrap();
    }
    assert_eq!(downloads.ended(2), expected);
    let removed = server(Ipv4, 3).to_string();
    let rest = file.lines().filter(|line| !line.contains(&removed));
    health.write(&rest.map(|line| line.to_owned() + "\n").collect::<String>());
    health.reload().unwrap();
    assert_eq!(downloads.ended(3), expected);
    downloads.end();
}

#[test]
fn a_server_whose_program_died_costs_nobody_a_request() {
    // No probe is due for ten minutes.
    let lines = "redispatch = yes\ninterval = 600s\nfastinterval = 50ms\ndowninterval = 100ms";
    let id = (Ipv4, Nat);
    let file = "checktimeout = 500ms\nfall = 2\n".to_owned() + &service(id, lines);
    let Some(mut health) = HealthLab::of(&file) else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    let all = health.lab.client.get_many(address, 6).unwrap();
    assert!(all.contains(&"server3".to_owned()), "{all:?}");
    health.lab.servers[2].crash();
    let names = health.lab.client.get_many(address, 6).unwrap();
    assert!(!names.contains(&"server3".to_owned()), "{names:?}");
    let listed = health.lab.director.lvsadm("--verdicts").unwrap();
    assert!(listed.contains("drop-refused"), "{listed}");
    // The refusal is a reason to probe it at once.
    health.logs(&format!("Deleted real server: {}", server(Ipv4, 3)));
}

#[test]
fn a_repeated_syn_finds_another_server_and_a_dead_one_out() {
    // No probe is due for ten minutes.
    let lines = "redispatch = yes\ninterval = 600s\nfastinterval = 50ms\ndowninterval = 100ms";
    let rhythm = "checktimeout = 500ms\nfall = 2\n";
    let id = (Ipv4, Direct);
    let Some(health) = HealthLab::of(&(rhythm.to_owned() + &service(id, lines))) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let all = health.lab.client.get_many(address, 6).unwrap();
    assert!(all.contains(&"server3".to_owned()), "{all:?}");
    cut(&health.lab, 3);
    // curl gives up after five seconds: only redispatched connections are that quick.
    let names = health.lab.client.get_many(address, 6).unwrap();
    assert!(!names.contains(&"server3".to_owned()), "{names:?}");
    let dead = server(Ipv4, 3).to_string();
    let out = || {
        let table = health.lab.director.lvsadm("-Sn").unwrap();
        let line = table.lines().find(|line| line.contains(&dead));
        line.is_none_or(|line| line.ends_with("-w 0"))
    };
    assert!(eventually(PATIENCE, out), "server3 still serves");
    link(&health.lab, 3, "up");
}

#[test]
fn a_server_that_dies_costs_each_of_its_clients_one_request_at_most() {
    let id = (Ipv4, Direct);
    let lines = "ondown = reset\nredispatch = yes";
    let Some(health) = HealthLab::of(&(QUICK.to_owned() + &service(id, lines))) else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let load = std::thread::scope(|scope| {
        let load = scope.spawn(|| health.lab.client.load(address, Connections::New, 5));
        std::thread::sleep(Duration::from_secs(1));
        cut(&health.lab, 2);
        load.join().unwrap().unwrap()
    });
    println!("{load:?}");
    assert!(load.requests > 100, "{load:?}");
    assert!(load.failed <= Load::CONNECTIONS, "{load:?}");
}
