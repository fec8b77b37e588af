//! FTP by NAT: curl and vsftpd, active and passive.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lvs_api::model::{Family, Method};
use lvs_api::role::Role;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, server, virtual_address};
use lvs_tests::lab::{Arms, Client, Lab, Pair, RealServer, programs, skipped};

const PORT: u16 = 21;
/// Bytes of a file: many segments.
const BYTES: u32 = 400_000;
/// Real servers with FTP.
const SERVERS: u8 = 2;

/// vsftpd on one of the real servers; it ends with this.
struct Vsftpd {
    child: Child,
    folder: PathBuf,
}

impl Vsftpd {
    fn start(lab: &Path, servers: &[RealServer], number: u8) -> Self {
        let folder = lab.join(format!("ftp{number}"));
        for name in ["files/upload", "empty"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        // Whatever its user is called.
        fs::set_permissions(
            folder.join("files/upload"),
            fs::Permissions::from_mode(0o777),
        )
        .unwrap();
        fs::write(folder.join("files/name"), format!("server{number}\n")).unwrap();
        fs::write(folder.join("files/large"), content(number)).unwrap();
        let configuration = folder.join("vsftpd.conf");
        let folder_name = folder.display();
        let settings = format!(
            "listen_ipv6=YES
background=NO
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_umask=022
anon_root={folder_name}/files
secure_chroot_dir={folder_name}/empty
connect_from_port_20=YES
isolate=NO
isolate_network=NO
seccomp_sandbox=NO
"
        );
        fs::write(&configuration, settings).unwrap();
        let real = &servers[usize::from(number) - 1];
        let child = real
            .namespace()
            .spawn(
                Command::new("vsftpd")
                    .arg(&configuration)
                    .stdin(Stdio::null()),
            )
            .unwrap();
        let to = SocketAddr::new(server(Family::Ipv4, number), PORT);
        let answers = || {
            real.namespace()
                .enter(|| TcpStream::connect(to).is_ok())
                .unwrap()
        };
        assert!(eventually(Duration::from_secs(10), answers));
        Self { child, folder }
    }

    fn uploaded(&self, name: &str) -> PathBuf {
        self.folder.join("files/upload").join(name)
    }
}

impl Drop for Vsftpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The large file of a server, which no other has.
fn content(number: u8) -> Vec<u8> {
    let words = (0..BYTES / 4).map(|place| place.wrapping_mul(0x9e37_79b9) ^ u32::from(number));
    words.flat_map(u32::to_be_bytes).collect()
}

fn service(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(virtual_address(family, Method::Nat), port)
}

/// Services of FTP and HTTP on the same servers.
fn lines() -> String {
    let mut lines = String::new();
    for family in FAMILIES {
        for port in [PORT, RealServer::PORT] {
            let to = service(family, port);
            let _ = writeln!(lines, "-A -t {to} -s rr");
            for number in 1..=SERVERS {
                let real = SocketAddr::new(server(family, number), port);
                let _ = writeln!(lines, "-a -t {to} -r {real} -m");
            }
        }
    }
    lines
}

/// A lab, and its FTP servers.
fn world(arms: Arms) -> Option<(Lab, Vec<Vsftpd>)> {
    if skipped(programs(&["vsftpd"])) {
        return None;
    }
    let lab = Lab::for_story(arms, &lines())?;
    let servers = (1..=SERVERS).map(|number| Vsftpd::start(lab.folder(), &lab.servers, number));
    let servers = servers.collect();
    Some((lab, servers))
}

/// The ways to transfer a file, as options of curl; those of IPv6 first.
const WAYS: [(&str, &[&str]); 4] = [
    ("EPSV", &[]),
    ("EPRT", &["--ftp-port", "-"]),
    ("PASV", &["--disable-epsv"]),
    ("PORT", &["--disable-eprt", "--ftp-port", "-"]),
];

fn ways(family: Family) -> &'static [(&'static str, &'static [&'static str])] {
    match family {
        Family::Ipv4 => &WAYS,
        Family::Ipv6 => &WAYS[..2],
    }
}

fn curl(lab: &Lab, options: &[&str], rest: &[&str]) -> Result<(), String> {
    let mut curl = Command::new("curl");
    // The address of a reply to PASV is to be used, not only its port.
    curl.args(["--silent", "--show-error", "--verbose", "--noproxy", "*"]);
    curl.args(["--max-time", "20", "--no-ftp-skip-pasv-ip"]);
    curl.args(options).args(rest);
    let output = lab.client.namespace().output(&mut curl).unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Fetches the name and the large file of a server over one control connection; returns the server.
fn download(lab: &Lab, family: Family, options: &[&str]) -> Result<u8, String> {
    let to = service(family, PORT);
    let files = ["name", "large"].map(|name| lab.folder().join(format!("got-{name}")));
    let [name, large] = &files;
    let text = |path: &Path| path.display().to_string();
    curl(
        lab,
        options,
        &[
            "--output",
            &text(name),
            &format!("ftp://{to}/name"),
            "--output",
            &text(large),
            &format!("ftp://{to}/large"),
        ],
    )?;
    let number = match fs::read_to_string(name).unwrap().trim() {
        "server1" => 1,
        "server2" => 2,
        other => return Err(other.to_owned()),
    };
    if fs::read(large).unwrap() != content(number) {
        return Err(format!("the large file is not that of server {number}"));
    }
    Ok(number)
}

/// Transfers files in every way, both ways, from both servers.
fn transfer(arms: Arms) {
    let Some((lab, servers)) = world(arms) else {
        return;
    };
    for family in FAMILIES {
        for (way, options) in ways(family) {
            let mut seen = [0; 2].map(|_: u8| {
                download(&lab, family, options)
                    .unwrap_or_else(|error| panic!("{way} {family:?}: {error}"))
            });
            seen.sort_unstable();
            assert_eq!(seen, [1, 2], "{way} {family:?}");
            let name = format!("{way}-{family:?}");
            let to = format!("ftp://{}/upload/{name}", service(family, PORT));
            let file = lab.folder().join("got-large");
            let upload = ["--upload-file", &file.display().to_string(), &to];
            curl(&lab, options, &upload).unwrap_or_else(|error| panic!("{name}: {error}"));
            let arrived = servers.iter().map(|server| server.uploaded(&name));
            let arrived: Vec<_> = arrived.filter(|file| file.exists()).collect();
            assert_eq!(arrived.len(), 1, "{name}");
            assert_eq!(fs::read(&arrived[0]).unwrap(), fs::read(&file).unwrap());
        }
        let address = virtual_address(family, Method::Nat);
        assert!(lab.client.get(address).unwrap().starts_with("server"));
    }
}

#[test]
fn curl_and_vsftpd_transfer_files_by_xdp() {
    transfer(Arms::Two);
}

#[test]
fn curl_and_vsftpd_transfer_files_by_tc() {
    transfer(Arms::Bridge);
}

/// A control connection.
struct Control {
    stream: BufReader<TcpStream>,
}

impl Control {
    fn login(client: &Client, family: Family) -> Self {
        let to = service(family, PORT);
        let stream = client.namespace().enter(|| TcpStream::connect(to));
        let stream = stream.unwrap().unwrap();
        let patience = Some(Duration::from_secs(5));
        stream.set_read_timeout(patience).unwrap();
        let mut control = Self {
            stream: BufReader::new(stream),
        };
        assert!(control.reply().starts_with("220 "));
        assert!(control.ask("USER anonymous").starts_with("331 "));
        assert!(control.ask("PASS lab@").starts_with("230 "));
        control
    }

    fn ask(&mut self, command: &str) -> String {
        let line = format!("{command}\r\n");
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line
    }

    fn client(&self) -> IpAddr {
        self.stream.get_ref().local_addr().unwrap().ip()
    }
}

#[test]
fn an_announced_connection_is_listed_and_no_other_port_is_served() {
    let Some((lab, _servers)) = world(Arms::Two) else {
        return;
    };
    let mut control = Control::login(&lab.client, Family::Ipv4);
    let reply = control.ask("PASV");
    let address = virtual_address(Family::Ipv4, Method::Nat);
    let shown = address.to_string().replace('.', ",");
    assert!(reply.contains(&format!("({shown},")), "{reply}");
    let numbers: Vec<u16> = reply
        .split(['(', ',', ')'])
        .filter_map(|number| number.parse().ok())
        .collect();
    let port = numbers[4] << 8 | numbers[5];
    let listed = |wanted: &str| {
        let connections = lab.director.lvsadm("-Lnc").unwrap();
        let lines = connections.lines();
        let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let found = words.filter(|line| line.contains("LISTEN"));
        let found: Vec<_> = found.collect();
        assert!(
            found.iter().any(|line| line.contains(wanted)),
            "{wanted}: {connections}"
        );
        found.len()
    };
    let client = control.client();
    assert_eq!(
        listed(&format!("LISTEN {client}:0 {address}:{port} 10.2.0.1")),
        1
    );
    let connect = |port: u16| {
        let to = SocketAddr::new(address, port);
        let patience = Duration::from_secs(2);
        lab.client
            .namespace()
            .enter(|| TcpStream::connect_timeout(&to, patience))
            .unwrap()
    };
    for unannounced in [port ^ 1, 1024, RealServer::MAPPED_PORT] {
        assert!(connect(unannounced).is_err(), "{unannounced}");
    }
    let data = connect(port).unwrap();
    assert_eq!(data.peer_addr().unwrap().port(), port);
    let numbers = client.to_string().replace('.', ",");
    let reply = control.ask(&format!("PORT {numbers},156,64"));
    assert!(reply.starts_with("200 "), "{reply}");
    assert_eq!(
        listed(&format!("LISTEN {client}:40000 {address}:20 10.2.0.1")),
        1
    );
}

#[test]
fn transfers_go_on_at_the_director_that_takes_over() {
    if skipped(programs(&["vsftpd"])) {
        return;
    }
    let Some(pair) = Pair::for_story() else {
        return;
    };
    pair.start_linked(1, Role::Master, &lines()).unwrap();
    pair.start_linked(2, Role::Backup, &lines()).unwrap();
    let servers: Vec<_> = (1..=SERVERS)
        .map(|number| Vsftpd::start(pair.folder(), &pair.servers, number))
        .collect();
    // More than fits on the way.
    let huge: Vec<u8> = content(1).repeat(40);
    for server in &servers {
        fs::write(server.folder.join("files/huge"), &huge).unwrap();
    }
    let client = pair.client.namespace();
    let mut transfers: Vec<_> = FAMILIES
        .iter()
        .map(|&family| {
            let mut control = Control::login(&pair.client, family);
            assert!(control.ask("TYPE I").starts_with("200 "));
            let reply = control.ask("EPSV");
            let port = reply.split('|').nth(3).unwrap().parse().unwrap();
            let to = service(family, port);
            let data = client.enter(|| TcpStream::connect(to)).unwrap().unwrap();
            data.set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            assert!(control.ask("RETR huge").starts_with("150 "));
            (control, data, vec![0; 100_000])
        })
        .collect();
    for (_, data, begin) in &mut transfers {
        data.read_exact(begin).unwrap();
    }
    pair.directors[0].lvsadm("sync wait --timeout 20s").unwrap();
    pair.directors[0].lvsadm("handover").unwrap();
    assert_eq!(pair.directors[1].lvsadm("role").unwrap(), "master\n");
    for (control, data, bytes) in &mut transfers {
        data.read_to_end(bytes).unwrap();
        assert!(*bytes == huge);
        assert!(control.reply().starts_with("226 "));
        // What is announced from now on the other director follows.
        let port = control
            .ask("EPSV")
            .split('|')
            .nth(3)
            .unwrap()
            .parse()
            .unwrap();
        let to = SocketAddr::new(control.stream.get_ref().peer_addr().unwrap().ip(), port);
        let mut name = String::new();
        let mut data = client.enter(|| TcpStream::connect(to)).unwrap().unwrap();
        assert!(control.ask("RETR name").starts_with("150 "));
        data.read_to_string(&mut name).unwrap();
        assert!(name.starts_with("server"), "{name}");
    }
}
