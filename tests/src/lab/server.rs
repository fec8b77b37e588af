//! A real server: nginx, a UDP responder and the decapsulation of tunnels.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lvs_api::model::{Family, Method};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::addresses::{self, FAMILIES};
use super::decapsulate::{Decapsulator, GUE_PORT};
use super::namespace::Namespace;
use super::network::{Host, Network};
use super::udp::Responder;
use super::{Lab, requirements};

/// A real server that answers.
pub struct RealServer {
    /// Counted from 1.
    pub number: u8,
    namespace: Namespace,
    nginx: Child,
    uploads: PathBuf,
    _responder: Responder,
    decapsulator: Option<Decapsulator>,
}

impl RealServer {
    /// TCP port of the virtual services and the real servers; UDP too.
    pub const PORT: u16 = 80;
    /// Another port with the same answers, for NAT to map to.
    pub const MAPPED_PORT: u16 = 8080;
    /// UDP port at which it takes tunnels by GUE.
    pub const GUE_PORT: u16 = GUE_PORT;
    /// Bytes of `/large`.
    pub const LARGE: u64 = 32 << 20;
    /// Bytes per second of `/slow`.
    pub const SLOW_RATE: u64 = 8 << 20;

    pub(super) fn start(number: u8, namespace: Namespace, lab: &Path) -> Result<Self> {
        let folder = lab.join(name(number));
        let uploads = folder.join("upload");
        fs::create_dir_all(&uploads)?;
        let configuration = folder.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(number, &folder, lab))?;
        let nginx = start_nginx(number, &namespace, &folder)?;
        let responder = Responder::start(&namespace, &name(number), &udp_addresses(number))?;
        let decapsulator = Some(Decapsulator::start(&namespace, own_addresses(number))?);
        Ok(Self {
            number,
            namespace,
            nginx,
            uploads,
            _responder: responder,
            decapsulator,
        })
    }

    /// Its nginx crashes: connections are refused from now on.
    pub fn crash(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }

    /// Starts nginx again after [`Self::crash`].
    pub fn recover(&mut self) -> Result<()> {
        let folder = self.uploads.parent().context("a server has a folder")?;
        self.nginx = start_nginx(self.number, &self.namespace, folder)?;
        Ok(())
    }

    /// Its nginx hangs: the kernel takes connections, nobody answers.
    pub fn hang(&self) -> Result<()> {
        Ok(kill(self.nginx_pid()?, Signal::SIGSTOP)?)
    }

    /// It goes on after [`Self::hang`].
    pub fn wake(&self) -> Result<()> {
        Ok(kill(self.nginx_pid()?, Signal::SIGCONT)?)
    }

    /// It unwraps no more tunnelled packets, as after its tunnel device went down; or does again.
    pub fn decapsulate(&mut self, on: bool) -> Result<()> {
        self.decapsulator = None;
        if on {
            let own = own_addresses(self.number);
            self.decapsulator = Some(Decapsulator::start(&self.namespace, own)?);
        }
        Ok(())
    }

    fn nginx_pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.nginx.id())?))
    }

    /// The name in its answers.
    pub fn name(&self) -> String {
        name(self.number)
    }

    /// Its own address.
    pub fn address(&self, family: Family) -> IpAddr {
        addresses::server(family, self.number)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The folder of files uploaded with `PUT /upload/NAME`.
    pub fn uploads(&self) -> &Path {
        &self.uploads
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

fn own_addresses(number: u8) -> [IpAddr; 2] {
    FAMILIES.map(|family| addresses::server(family, number))
}

fn name(number: u8) -> String {
    format!("server{number}")
}

/// All it has, one by one: a socket bound to any address would answer from another one than asked.
fn udp_addresses(number: u8) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for family in FAMILIES {
        let own = addresses::server(family, number);
        all.push(SocketAddr::new(own, RealServer::PORT));
        all.push(SocketAddr::new(own, RealServer::MAPPED_PORT));
        for method in [Method::Direct, Method::Tunnel] {
            let address = addresses::virtual_address(family, method);
            all.push(SocketAddr::new(address, RealServer::PORT));
        }
    }
    all
}

fn nginx_configuration(number: u8, folder: &Path, lab: &Path) -> String {
    let (name, folder, lab) = (name(number), folder.display(), lab.display());
    let (port, mapped) = (RealServer::PORT, RealServer::MAPPED_PORT);
    let rate = RealServer::SLOW_RATE;
    format!(
        r#"# Everything below the lab's folder, one process.
daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    keepalive_requests 1000000;
    keepalive_timeout 600s;
    client_max_body_size 1g;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {port} backlog=8192;
        listen [::]:{port} backlog=8192;
        listen {mapped} backlog=8192;
        listen [::]:{mapped} backlog=8192;
        add_header X-Server {name} always;
        location / {{ return 200 "{name}\n"; }}
        location = /large {{ alias {lab}/large; }}
        location = /slow {{ alias {lab}/large; limit_rate {rate}; }}
        location /upload/ {{ root {folder}; dav_methods PUT; }}
    }}
}}
"#
    )
}

fn start_nginx(number: u8, namespace: &Namespace, folder: &Path) -> Result<Child> {
    let mut nginx = Command::new(requirements::find("nginx").context("nginx is missing")?);
    nginx
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .arg("-e")
        .arg(folder.join("error.log"));
    nginx
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut nginx = namespace.spawn(&mut nginx)?;
    wait_for_answer(namespace, &mut nginx, number)
        .with_context(|| fs::read_to_string(folder.join("error.log")).unwrap_or_default())?;
    Ok(nginx)
}

fn wait_for_answer(namespace: &Namespace, nginx: &mut Child, number: u8) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let own = SocketAddr::new(addresses::server(Family::Ipv4, number), RealServer::PORT);
    while Instant::now() < deadline {
        if let Some(status) = nginx.try_wait()? {
            bail!("nginx ended ({status})");
        }
        if namespace.enter(|| TcpStream::connect(own))?.is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("nginx does not answer on {own}")
}

/// Starts every real server of a lab.
pub(super) fn start_all(network: &Network, lab: &Path) -> Result<Vec<RealServer>> {
    let start = |number| {
        RealServer::start(number, network.namespace(Host::Server(number)), lab)
            .with_context(|| format!("cannot start real server {number}"))
    };
    (1..=Lab::SERVERS).map(start).collect()
}

/// Bytes that no checksum mistake or reordering leaves equal.
pub(super) fn write_random_file(path: &Path, length: u64) -> Result<()> {
    let mut random = io::Read::take(File::open("/dev/urandom")?, length);
    let mut file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    io::copy(&mut random, &mut file)?;
    Ok(())
}
