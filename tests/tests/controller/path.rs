//! Probes by the service path find out what probes of a server's own address cannot.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lvs_api::model::Family::{self, Ipv4, Ipv6};
use lvs_api::model::Method::{self, Direct, Tunnel};
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{host_length, server, virtual_address};
use lvs_tests::lab::{Arms, Lab, Missing, Namespace, find, skipped};

use crate::health_lab::{HealthLab, PATIENCE, QUICK};

const SERVICES: [(Family, Method); 4] = [
    (Ipv4, Direct),
    (Ipv6, Direct),
    (Ipv4, Tunnel),
    (Ipv6, Tunnel),
];

/// What is asked over TCP, in checks that must all hold, and what misses when a server lost the virtual
/// address.
const TCP: &str = "\
check = negotiate service=http request=\"/\" receive=\"server\" checkpath=service
check = connect checkpath=service
check = ping checkpath=service";

const UDP: &str = "\
protocol = udp
service = udp
request = \"hello\"
receive = \"hello\"
checkpath = service";

/// A virtual service at a port with all real servers and these lines.
fn service((family, method): (Family, Method), port: u16, lines: &str) -> String {
    let version = match family {
        Ipv4 => "",
        Ipv6 => "6",
    };
    let how = if method == Tunnel { "ipip" } else { "gate" };
    let to = SocketAddr::new(virtual_address(family, method), port);
    let mut text = format!("virtual{version} = {to}\n");
    for number in 1..=Lab::SERVERS {
        let real = SocketAddr::new(server(family, number), port);
        let _ = writeln!(text, "\treal{version} = {real} {how}");
    }
    for line in lines.lines() {
        let _ = writeln!(text, "\t{line}");
    }
    text
}

/// Servers that new connections of a virtual service go to.
fn serving(
    health: &HealthLab,
    flag: &str,
    (family, method): (Family, Method),
    port: u16,
) -> Vec<u8> {
    let table = health.lab.director.lvsadm("-Sn").unwrap();
    let to = SocketAddr::new(virtual_address(family, method), port);
    let serves = |number: &u8| {
        let real = SocketAddr::new(server(family, *number), port);
        let line = format!("-a {flag} {to} -r {real} ");
        let found = table.lines().find(|found| found.starts_with(&line));
        found.is_some_and(|found| !found.ends_with("-w 0"))
    };
    (1..=Lab::SERVERS).filter(serves).collect()
}

#[track_caller]
fn becomes(health: &HealthLab, flag: &str, id: (Family, Method), port: u16, servers: &[u8]) {
    let found = || serving(health, flag, id, port);
    let holds = eventually(PATIENCE, || found() == servers);
    assert!(holds, "{flag} {id:?}: {:?} instead of {servers:?}", found());
}

/// Takes a virtual address off a host's interface, or puts it there.
fn address(namespace: &Namespace, (family, method): (Family, Method), verb: &str, interface: &str) {
    let address = virtual_address(family, method);
    let length = host_length(family);
    let line = format!("addr {verb} {address}/{length} dev {interface}\n");
    namespace.ip(&line).unwrap();
}

#[test]
fn a_server_that_lost_the_virtual_address_is_found_out() {
    let own = "protocol = udp\nservice = udp\nrequest = \"hello\"\nreceive = \"hello\"";
    let mut file = QUICK.to_owned();
    for id in SERVICES {
        let udp = if id == (Ipv6, Direct) { own } else { UDP };
        file += &(service(id, 80, TCP) + &service(id, 80, udp));
    }
    let Some(health) = HealthLab::of(&file) else {
        return;
    };
    // The director has all virtual addresses itself.
    for id in SERVICES {
        becomes(&health, "-t", id, 80, &[1, 2, 3]);
        becomes(&health, "-u", id, 80, &[1, 2, 3]);
    }
    for number in 1..=Lab::SERVERS {
        let way = format!("by way of {} ", server(Ipv4, number));
        health.logs(&format!(
            "server{number} hello\\\" from 10.1.0.101:80 {way}"
        ));
    }
    let second = health.lab.servers[1].namespace();
    for id in SERVICES {
        address(second, id, "del", "lo");
    }
    for id in SERVICES {
        becomes(&health, "-t", id, 80, &[1, 3]);
        let (family, method) = id;
        let by_way = format!("by way of {}", server(family, 2));
        let to = virtual_address(family, method);
        health.logs(&format!(
            "no connection to {} {by_way}",
            SocketAddr::new(to, 80)
        ));
        health.logs(&format!("no echo reply from {to} {by_way}"));
        if id == (Ipv6, Direct) {
            // Asked at its own address, it is as well as ever.
            becomes(&health, "-u", id, 80, &[1, 2, 3]);
        } else {
            becomes(&health, "-u", id, 80, &[1, 3]);
            health.logs(&format!(
                "no answer from {} {by_way}",
                SocketAddr::new(to, 80)
            ));
        }
    }
    for id in SERVICES {
        address(second, id, "add", "lo");
    }
    for id in SERVICES {
        becomes(&health, "-t", id, 80, &[1, 2, 3]);
        becomes(&health, "-u", id, 80, &[1, 2, 3]);
    }
    never_mixed(&health);
}

/// Every answer came from the server that was asked, and no probe was taken for a client's packet.
fn never_mixed(health: &HealthLab) {
    let log = health.log();
    for number in 1..=Lab::SERVERS {
        let name = format!("server{number} hello");
        let ways = [Ipv4, Ipv6].map(|family| format!("by way of {} ", server(family, number)));
        let own = [Ipv4, Ipv6].map(|family| server(family, number).to_string());
        for line in log.lines().filter(|line| line.contains(&name)) {
            let asked = !line.contains("by way of") && own.iter().any(|own| line.contains(own));
            assert!(asked || ways.iter().any(|way| line.contains(way)), "{line}");
        }
    }
    let connections = health.lab.director.lvsadm("-Lcn").unwrap();
    assert_eq!(connections.lines().count(), 2, "{connections}");
}

#[test]
fn a_server_whose_tunnel_is_gone_is_found_out() {
    let ids = [(Ipv4, Tunnel), (Ipv6, Tunnel)];
    let own = "checktype = connect";
    let by_service = "checktype = connect\ncheckpath = service";
    let mut file = QUICK.to_owned();
    for id in ids {
        file += &(service(id, 80, by_service) + &service(id, 8080, own));
    }
    let Some(mut health) = HealthLab::of(&file) else {
        return;
    };
    // Nor need the director have the virtual address.
    for id in ids {
        address(health.lab.director.namespace(), id, "del", "front");
    }
    for id in ids {
        becomes(&health, "-t", id, 80, &[1, 2, 3]);
    }
    health.lab.servers[2].decapsulate(false).unwrap();
    for id in ids {
        becomes(&health, "-t", id, 80, &[1, 2]);
    }
    for id in ids {
        becomes(&health, "-t", id, 8080, &[1, 2, 3]);
    }
    health.lab.servers[2].decapsulate(true).unwrap();
    for id in ids {
        becomes(&health, "-t", id, 80, &[1, 2, 3]);
    }
    never_mixed(&health);
}

/// Programs of a test, ended with it.
struct Programs(Vec<Child>);

impl Programs {
    fn start(&mut self, namespace: &Namespace, program: &str, arguments: &[&str]) {
        let mut command = Command::new(find(program).unwrap());
        command.args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.0.push(namespace.spawn(&mut command).unwrap());
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for program in &mut self.0 {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// A certificate and its key in one file.
fn certificate(folder: &Path) -> PathBuf {
    let file = folder.join("web.pem");
    let text = file.to_string_lossy();
    let arguments =
        "req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=web";
    let made = Command::new("openssl")
        .args(arguments.split(' '))
        .args(["-keyout", &text, "-out", &text])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    file
}

#[test]
fn tls_and_names_are_asked_for_by_the_service_path() {
    let missing = ["openssl", "dnsmasq"]
        .into_iter()
        .find(|program| find(program).is_none());
    if skipped(missing.map_or(Ok(()), |program| {
        Err(Missing(format!("{program} is not installed")))
    })) {
        return;
    }
    let web =
        "service = https\nrequest = \"/\"\nreceive = \"secure\"\nverify = no\ncheckpath = service";
    let names = "protocol = udp\nservice = dns\nrequest = \"www.example\"\nreceive = \"10.9.0.80\"\n\
                 checkpath = service";
    let ids = [(Ipv4, Direct), (Ipv6, Tunnel)];
    let mut file = QUICK.to_owned();
    for id in ids {
        file += &(service(id, 443, web) + &service(id, 53, names));
    }
    // Without a driver for the program it goes behind it.
    let Some(health) = HealthLab::with(Arms::Bridge, &file) else {
        return;
    };
    let folder = health.lab.folder();
    let pem = certificate(folder);
    let mut programs = Programs(Vec::new());
    for server in &health.lab.servers {
        let configuration = folder.join(format!("{}-tls.conf", server.name()));
        fs::write(&configuration, web_server(folder, &pem)).unwrap();
        let configuration = configuration.to_string_lossy();
        let space = server.namespace();
        programs.start(space, "nginx", &["-c", &configuration, "-e", "/dev/null"]);
        programs.start(
            space,
            "dnsmasq",
            &[
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
                "--user=root",
                "--host-record=www.example,10.9.0.80",
            ],
        );
    }
    for id in ids {
        becomes(&health, "-t", id, 443, &[1, 2, 3]);
        becomes(&health, "-u", id, 53, &[1, 2, 3]);
    }
    let first = health.lab.servers[0].namespace();
    for id in ids {
        address(first, id, "del", "lo");
    }
    for id in ids {
        becomes(&health, "-t", id, 443, &[2, 3]);
        becomes(&health, "-u", id, 53, &[2, 3]);
    }
}

fn web_server(folder: &Path, pem: &Path) -> String {
    let (folder, pem) = (folder.display(), pem.display());
    format!(
        "daemon off; master_process off; user root; pid /dev/null; error_log /dev/null;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body-tls;
            proxy_temp_path {folder}/proxy-tls;
            fastcgi_temp_path {folder}/fastcgi-tls;
            uwsgi_temp_path {folder}/uwsgi-tls;
            scgi_temp_path {folder}/scgi-tls;
            server {{
                listen 443 ssl;
                listen [::]:443 ssl;
                ssl_certificate {pem};
                ssl_certificate_key {pem};
                location / {{ return 200 secure; }}
            }}
        }}"
    )
}

/// Names of the veth interfaces of probes' namespaces on the director.
fn probe_veths(health: &HealthLab) -> Vec<String> {
    let mut ip = Command::new("ip");
    let output = health
        .lab
        .director
        .namespace()
        .output(ip.args(["-o", "link"]))
        .unwrap();
    let links = String::from_utf8(output.stdout).unwrap();
    // `7: NAME@if2: …`
    let names = links
        .split_whitespace()
        .filter_map(|word| word.split('@').next());
    names
        .filter(|name| name.starts_with("lvs-probes"))
        .map(str::to_owned)
        .collect()
}

/// Runs a command in the network namespace of the daemon's probes.
fn inside(health: &HealthLab, arguments: &[&str]) {
    let pid = health.status().pid;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let thread = threads
        .map(|thread| thread.unwrap().path())
        .find(|thread| {
            fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "service path")
        })
        .unwrap();
    let done = Command::new("nsenter")
        .arg(format!("--net={}", thread.join("ns/net").display()))
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn the_service_path_comes_and_goes_with_the_daemon() {
    let id = (Ipv4, Direct);
    let text = QUICK.to_owned() + &service(id, 80, "checktype = connect\ncheckpath = service");
    let Some(health) = HealthLab::of(&text) else {
        return;
    };
    becomes(&health, "-t", id, 80, &[1, 2, 3]);
    let first = probe_veths(&health);
    let [veth] = first.as_slice() else {
        panic!("{first:?}");
    };
    // The probes' program is there by a link: for the sake of a queueing discipline the kernel would look at every
    // packet that leaves the machine once more.
    let mut tc = Command::new("tc");
    let disciplines = health
        .lab
        .director
        .namespace()
        .output(tc.args(["qdisc", "show"]));
    let disciplines = String::from_utf8(disciplines.unwrap().stdout).unwrap();
    assert!(!disciplines.contains("clsact"), "{disciplines}");
    // A namespace takes over the machine's filters.
    for scope in ["all", "probes"] {
        let strict = format!("net.ipv4.conf.{scope}.rp_filter=1");
        inside(&health, &["sysctl", "-qw", &strict]);
    }
    // Somebody tidies up.
    let mut ip = Command::new("ip");
    ip.args(["link", "delete", veth]);
    let deleted = health.lab.director.namespace().output(&mut ip).unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    let again = || {
        health
            .log()
            .matches("probes by way of the service leave by")
            .count()
            == 2
    };
    assert!(eventually(PATIENCE, again), "{}", health.log());
    loopback_lost(&health, id);
    health.lab.director.kill();
    assert!(eventually(PATIENCE, || probe_veths(&health).is_empty()));
    health.start();
    becomes(&health, "-t", id, 80, &[1, 2, 3]);
    assert_eq!(probe_veths(&health).len(), 1);
    health.lab.director.stop().unwrap();
    assert!(eventually(PATIENCE, || probe_veths(&health).is_empty()));
    // A file that does without it makes none.
    health.write(&(QUICK.to_owned() + &service(id, 80, "checktype = connect")));
    health.start();
    becomes(&health, "-t", id, 80, &[1, 2, 3]);
    assert_eq!(probe_veths(&health).len(), 0);
    // Until it is wanted: privileges are long given up then.
    health.write(&text);
    health.reload().unwrap();
    assert!(eventually(PATIENCE, || probe_veths(&health).len() == 1));
    loopback_lost(&health, id);
}

/// Server 1 loses the virtual address, and that is found out.
fn loopback_lost(health: &HealthLab, id: (Family, Method)) {
    address(health.lab.servers[0].namespace(), id, "del", "lo");
    becomes(health, "-t", id, 80, &[2, 3]);
    address(health.lab.servers[0].namespace(), id, "add", "lo");
    becomes(health, "-t", id, 80, &[1, 2, 3]);
}
