//! A site as an administrator of two directors has it: both are whole machines.
//!
//! ```text
//!   client     lvs1    lvs2           www1    www2
//!     .100      .1      .2             .11     .12
//!   ────┴────────┴───────┴──── first segment
//!                │       │      ────────┴───────┴──── last segment, which may be the first
//! ```
//!
//! Addresses, names of hosts and of interfaces (`eth0` on the first segment) are those of the set-up pages
//! in `docs`, whose commands are run here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use parking_lot::Mutex;

use super::machine::{self, Ended, Machine};
use super::namespace::Namespace;
use super::owner::Claim;
use super::receive::Receivers;
use super::requirements;
use super::udp::Responder;
use crate::eventually;

/// The directors, which are off at first; their numbers are those of their addresses.
const DIRECTORS: [(&str, u8); 2] = [("lvs1", 1), ("lvs2", 2)];
/// The real servers.
const SERVERS: [(&str, u8); 2] = [("www1", 11), ("www2", 12)];
/// The client host.
const CLIENT: (&str, u8) = ("client", 100);

/// The site. It goes when it is dropped, with all that runs in it.
pub struct Site {
    directors: Vec<Machine>,
    servers: Vec<Child>,
    segments: Vec<String>,
    /// Programs at the directors' ports, by the director's name.
    receivers: Mutex<BTreeMap<String, Receivers>>,
    responders: Vec<Responder>,
    claim: Claim,
}

impl Site {
    /// How long anything in it is waited for.
    pub const PATIENCE: Duration = Duration::from_secs(90);

    /// Makes it, with the first three numbers of each segment's addresses, and starts the real servers.
    pub fn new(segments: &[&str], installed: &Path) -> Result<Self> {
        let mut site = Self {
            directors: Vec::new(),
            servers: Vec::new(),
            segments: segments.iter().map(|&segment| segment.to_owned()).collect(),
            receivers: Mutex::default(),
            responders: Vec::new(),
            claim: Claim::new()?,
        };
        let hosts = DIRECTORS
            .iter()
            .chain(&SERVERS)
            .chain([&CLIENT, &("network", 0)]);
        for (host, _) in hosts {
            let namespace = Namespace::create(&site.name(host))?;
            namespace.ip("link set lo up")?;
            namespace.sysctl(&[
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
            ])?;
        }
        site.connect()?;
        for (name, _) in DIRECTORS {
            let folder = site.claim.folder();
            let machine = Machine::new(name, site.namespace(name), installed, folder)?;
            site.directors.push(machine);
        }
        for (name, _) in SERVERS {
            let server = site.serve(name)?;
            site.servers.push(server);
        }
        Ok(site)
    }

    fn name(&self, host: &str) -> String {
        format!("{}{host}", self.claim.prefix())
    }

    /// The network of a host.
    pub fn namespace(&self, host: &str) -> Namespace {
        Namespace::named(&self.name(host))
    }

    /// Folder of the site's own.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// A director.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn director(&self, name: &str) -> &Machine {
        let found = self.directors.iter().find(|machine| machine.name() == name);
        found.unwrap_or_else(|| panic!("there is no director {name}"))
    }

    /// Bridges and every host but the directors, whose cables are plugged in as they boot.
    fn connect(&self) -> Result<()> {
        let last = self.segments.len() - 1;
        let mut lines = String::new();
        for number in 0..=last {
            writeln!(
                lines,
                "link add bridge{number} type bridge mcast_snooping 0 forward_delay 0\n\
                 link set bridge{number} up"
            )?;
        }
        let hosts = SERVERS.map(|server| (server, last));
        let hosts = hosts.into_iter().chain([(CLIENT, 0)]);
        for ((host, _), segment) in hosts.clone() {
            self.plug(&mut lines, host, "eth0", segment)?;
        }
        self.namespace("network").ip(&lines)?;
        for ((host, number), segment) in hosts {
            self.address(host, number, "eth0", segment)?;
        }
        Ok(())
    }

    fn plug(
        &self,
        lines: &mut String,
        host: &str,
        interface: &str,
        segment: usize,
    ) -> Result<String> {
        let (peer, port) = (self.name(host), format!("{host}-{interface}"));
        writeln!(
            lines,
            "link add {port} type veth peer name {interface} netns {peer}\n\
             link set {port} master bridge{segment} up"
        )?;
        Ok(port)
    }

    fn address(&self, host: &str, number: u8, interface: &str, segment: usize) -> Result<()> {
        let prefix = &self.segments[segment];
        self.namespace(host).ip(&format!(
            "link set {interface} up\naddr add {prefix}.{number}/24 broadcast + dev {interface}"
        ))
    }

    /// Switches a director on.
    pub fn boot(&self, name: &str) -> Result<()> {
        let mut lines = String::new();
        let ports = (0..self.segments.len())
            .map(|segment| self.plug(&mut lines, name, &format!("eth{segment}"), segment))
            .collect::<Result<Vec<_>>>()?;
        let network = self.namespace("network");
        network.ip(&lines)?;
        for port in &ports {
            // See the documentation of the lab.
            network.run("ethtool", &["-K", port, "tx", "off"])?;
        }
        let receivers = Receivers::attach(&network, &ports)?;
        self.receivers.lock().insert(name.to_owned(), receivers);
        let number = DIRECTORS.iter().find(|(own, _)| *own == name);
        let (_, number) = number.with_context(|| format!("there is no director {name}"))?;
        for segment in 0..self.segments.len() {
            self.address(name, *number, &format!("eth{segment}"), segment)?;
        }
        self.director(name).boot()
    }

    /// Cuts a director's power: no process of it has a chance to do anything, and its network is dead.
    pub fn crash(&self, name: &str) -> Result<()> {
        let network = self.namespace("network");
        for number in 0..self.segments.len() {
            network.ip(&format!("link del {name}-eth{number}"))?;
        }
        self.director(name).crash()
    }

    /// Runs a line of shell on any host.
    pub fn run(&self, host: &str, line: &str) -> Result<Ended> {
        match self.directors.iter().find(|machine| machine.name() == host) {
            Some(machine) => machine.run(line),
            None => machine::shell(&self.namespace(host), line),
        }
    }

    /// Makes a host answer each datagram to an address with its name, also while a director is off.
    pub fn answer_datagrams(&mut self, host: &str, address: SocketAddr) -> Result<()> {
        let responder = Responder::start(&self.namespace(host), host, &[address])?;
        self.responders.push(responder);
        Ok(())
    }

    /// A real server: nginx that answers with its name.
    fn serve(&self, name: &str) -> Result<Child> {
        let folder = self.claim.folder().join(name);
        fs::create_dir_all(&folder)?;
        let shown = folder.display();
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temporary, "    {kind}_temp_path {shown}/{kind};")?;
        }
        let configuration = folder.join("nginx.conf");
        fs::write(
            &configuration,
            format!(
                "daemon off; master_process off; user root; pid {shown}/pid;\n\
                 error_log {shown}/error.log;\nevents {{}}\n\
                 http {{\n{temporary}    access_log off;\n    keepalive_timeout 600s;\n\
                 server {{\n        listen 80;\n        default_type text/plain;\n\
                 location / {{ return 200 \"{name}\\n\"; }}\n\
                 location = /.testpage {{ return 200 \"test page\\n\"; }}\n    }}\n}}\n"
            ),
        )?;
        let nginx = requirements::find("nginx").context("nginx is missing")?;
        let mut command = Command::new(nginx);
        command.arg("-c").arg(&configuration);
        command.arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        let namespace = self.namespace(name);
        let child = namespace.spawn(&mut command)?;
        let answers = || {
            let asked = "curl --silent --fail --max-time 5 http://127.0.0.1/";
            machine::shell(&namespace, asked).is_ok_and(|ended| ended.success)
        };
        ensure!(
            eventually(Duration::from_secs(30), answers),
            "nginx of {name} does not answer: {}",
            fs::read_to_string(folder.join("error.log")).unwrap_or_default()
        );
        Ok(child)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for machine in &self.directors {
            if let Err(error) = machine.crash() {
                eprintln!("lab: {error:#}");
            }
        }
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
