//! The balancers that are compared.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lvs_api::model::Family::Ipv4;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::server;
use lvs_tests::lab::{Lab, find};

/// Two rounds of health checks, which every contender makes each second at least.
const STEADY: Duration = Duration::from_secs(2);

/// A balancer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// lvsd with `preset = modern`.
    Lvsd,
    /// The same with health checks every second, as the others make them.
    LvsdEverySecond,
    Haproxy,
    /// `mod_proxy_balancer` with `mod_proxy_hcheck`.
    Apache,
}

/// A balancer that runs until it is dropped; lvsd ends with its lab.
pub(crate) struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [
        Self::Lvsd,
        Self::LvsdEverySecond,
        Self::Haproxy,
        Self::Apache,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lvsd => "lvsd, `preset = modern`",
            Self::LvsdEverySecond => "lvsd, `preset = modern`, `interval = 1s`",
            Self::Haproxy => "HAProxy",
            Self::Apache => "Apache",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Lvsd | Self::LvsdEverySecond => true,
            Self::Haproxy => find("haproxy").is_some(),
            Self::Apache => find("apache2").is_some(),
        }
    }

    /// Balances the first two real servers at this address.
    pub(crate) fn start(self, lab: &Lab, address: IpAddr) -> Result<Running> {
        let folder = lab.folder();
        let running = match self {
            Self::Lvsd | Self::LvsdEverySecond => {
                let file = folder.join("ldirectord.cf");
                fs::write(&file, self.configuration(lab, address))?;
                lab.director
                    .start_with(&["--config", &file.to_string_lossy()])?;
                Running(None)
            }
            Self::Haproxy | Self::Apache => {
                let director = lab.director.namespace();
                let file = folder.join("proxy.conf");
                fs::write(&file, self.configuration(lab, address))?;
                let mut command = if self == Self::Haproxy {
                    let mut haproxy = Command::new("haproxy");
                    haproxy.arg("-db");
                    haproxy
                } else {
                    let mut apache = Command::new("apache2");
                    apache.args(["-D", "FOREGROUND"]);
                    apache
                };
                command.arg("-f").arg(&file);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                Running(Some(director.spawn(&mut command)?))
            }
        };
        let both = || {
            let names = lab.client.get_many(address, 8).unwrap_or_default();
            let has = |name: &str| names.iter().any(|found| found == name);
            has("server1") && has("server2")
        };
        ensure!(
            eventually(Duration::from_secs(30), both),
            "{} does not balance both servers at {address}",
            self.name()
        );
        // The measurement begins in the rhythm of the health checks, not with the bursts of the start.
        std::thread::sleep(STEADY);
        let client = lab.client.namespace();
        let address = SocketAddr::new(address, 80);
        client
            .enter(|| TcpStream::connect(address))?
            .context("nobody answers")?;
        Ok(running)
    }

    fn configuration(self, lab: &Lab, address: IpAddr) -> String {
        let servers = [1, 2].map(|number| server(Ipv4, number));
        let [first, second] = servers;
        let lvsd = |more: &str| {
            format!(
                "preset = modern\n{more}virtual = {address}:80\n    real = {first}:80 masq\n    \
                 real = {second}:80 masq\n    service = http\n"
            )
        };
        match self {
            Self::Lvsd => lvsd(""),
            Self::LvsdEverySecond => lvsd("interval = 1s\n"),
            Self::Haproxy => format!(
                "defaults\n  mode http\n  timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n  \
                 option redispatch\n  retries 3\nlisten www\n  bind {address}:80\n  balance roundrobin\n  \
                 option httpchk GET /\n  default-server check inter 1s fastinter 500ms fall 2 rise 2 \
                 on-marked-down shutdown-sessions\n  server s1 {first}:80\n  server s2 {second}:80\n"
            ),
            Self::Apache => {
                let modules = [
                    ("mpm_event", "mod_mpm_event"),
                    ("authz_core", "mod_authz_core"),
                    ("proxy", "mod_proxy"),
                    ("proxy_http", "mod_proxy_http"),
                    ("slotmem_shm", "mod_slotmem_shm"),
                    ("proxy_balancer", "mod_proxy_balancer"),
                    ("lbmethod_byrequests", "mod_lbmethod_byrequests"),
                    ("watchdog", "mod_watchdog"),
                    ("proxy_hcheck", "mod_proxy_hcheck"),
                ];
                let folder = lab.folder().display();
                let mut text = String::new();
                for (module, file) in modules {
                    // Those that are built in have no file.
                    let path = format!("/usr/lib/apache2/modules/{file}.so");
                    if fs::metadata(&path).is_ok() {
                        let _ = writeln!(text, "LoadModule {module}_module {path}");
                    }
                }
                text + &format!(
                    "ServerName lab\nUser nobody\nGroup nogroup\nServerRoot {folder}\n\
                     DefaultRuntimeDir {folder}\nPidFile {folder}/apache.pid\n\
                     ErrorLog {folder}/apache.log\nListen {address}:80\nKeepAlive On\nMaxKeepAliveRequests 0\n\
                     KeepAliveTimeout 600\nProxyTimeout 60\n<Proxy balancer://www>\n  BalancerMember http://{first}:80 \
                     hcmethod=GET hcuri=/ hcinterval=1 hcfails=2 hcpasses=2 retry=5\n  BalancerMember \
                     http://{second}:80 hcmethod=GET hcuri=/ hcinterval=1 hcfails=2 hcpasses=2 retry=5\n</Proxy>\n\
                     ProxyPass / balancer://www/\n"
                )
            }
        }
    }
}
