//! Three directors at once behind a router with equal-cost paths, announced by a routing daemon.
//!
//! The network is that of a lab with two arms. The virtual address lies on the loopback of whoever is
//! master, and the daemon there announces it to that of the lab's router. The client reaches it by the
//! router alone.

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lvs_api::model::Family;

use super::network::{self, Arms, Directors, Host, Network};
use super::{Client, Director, Namespace, RealServer, addresses, owner, server};

mod routing;

pub use routing::Routing;

/// The virtual address.
pub const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
/// The number of directors.
pub const COUNT: u8 = 3;

/// A running lab; it is taken down when it is dropped.
pub struct EqualCost {
    /// The client.
    pub client: Client,
    /// The directors, their daemons running.
    pub directors: Vec<Director>,
    /// The real servers, which have the virtual address on their loopbacks.
    pub servers: Vec<RealServer>,
    routing: Routing,
    daemons: Vec<Child>,
    network: Network,
    claim: owner::Claim,
}

impl EqualCost {
    /// Builds everything, and waits until the router knows all paths.
    pub fn new(services: &str, routing: Routing) -> Result<Self> {
        let claim = owner::Claim::new()?;
        let network = Network::build(claim.prefix(), Arms::Two, Directors::Several(COUNT))?;
        let folder = claim.folder();
        server::write_random_file(&folder.join("large"), 1 << 20)?;
        let directors: Vec<_> = (1..=COUNT)
            .map(|number| Director::one_of(&network, number, folder))
            .collect::<Result<_>>()?;
        let mut lab = Self {
            client: Client::new(network.namespace(Host::Client), folder),
            servers: server::start_all(&network, folder)?,
            directors,
            routing,
            daemons: Vec::new(),
            network,
            claim,
        };
        lab.connect()?;
        for number in 1..=COUNT {
            lab.start(number, services)?;
        }
        lab.await_paths(usize::from(COUNT))?;
        Ok(lab)
    }

    fn connect(&mut self) -> Result<()> {
        for server in &self.servers {
            server
                .namespace()
                .ip(&format!("address add {VIRTUAL}/32 dev lo"))?;
        }
        let router = addresses::router_front(Family::Ipv4);
        let client = self.network.namespace(Host::Client);
        client.ip(&format!("route add {VIRTUAL} via {router}"))?;
        let network = self.router();
        // A flow is its ports, too.
        network.sysctl(&[("ipv4/fib_multipath_hash_policy", "1")])?;
        let mut configuration = Self::named(self.routing.router(), "");
        for number in 1..=COUNT {
            let address = addresses::own_front(Family::Ipv4, number).to_string();
            configuration += &self.routing.neighbour(number, &address);
        }
        self.route(&network, "router", &configuration)
    }

    /// A configuration for these hosts.
    fn named(configuration: &str, own: &str) -> String {
        let router = addresses::router_front(Family::Ipv4);
        configuration
            .replace("OWN", own)
            .replace("ROUTER", &router.to_string())
            .replace("VIRTUAL", &VIRTUAL.to_string())
    }

    fn start(&mut self, number: u8, services: &str) -> Result<()> {
        let own = addresses::own_front(Family::Ipv4, number).to_string();
        let configuration = Self::named(self.routing.director(), &own);
        let key = self.claim.folder().join("key");
        fs::write(&key, "what all directors share")?;
        fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        let mut options = vec![
            format!("--virtual-address={VIRTUAL}@lo"),
            format!("--peer-key={}", key.display()),
        ];
        for other in (1..=COUNT).filter(|&other| other != number) {
            options.push(format!(
                "--peer={}",
                addresses::own_sync(Family::Ipv4, other)
            ));
        }
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        self.director(number)
            .start_configured_with(services, &options)?;
        let namespace = self.director(number).namespace().clone();
        self.route(&namespace, &format!("routing{number}"), &configuration)
    }

    fn route(&mut self, namespace: &Namespace, name: &str, configuration: &str) -> Result<()> {
        let folder = self.claim.folder().join(name);
        let daemons = self.routing.start(namespace, &folder, configuration)?;
        self.daemons.extend(daemons);
        Ok(())
    }

    /// Waits until the router has so many paths to the virtual address.
    pub fn await_paths(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let shown = self
                .router()
                .run("ip", &["route", "show", &VIRTUAL.to_string()])?;
            if shown.matches("via").count() == count {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{count} paths wanted:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A director dies.
    pub fn crash(&self, number: u8) -> Result<()> {
        network::crash(self.director(number))
    }

    /// A director, counted from 1.
    ///
    /// # Panics
    ///
    /// When there is none of that number.
    pub fn director(&self, number: u8) -> &Director {
        &self.directors[usize::from(number) - 1]
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// The files that real servers offer.
    pub fn large_file(&self) -> PathBuf {
        self.folder().join("large")
    }

    fn router(&self) -> Namespace {
        self.network.namespace(Host::Network)
    }
}

impl Drop for EqualCost {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for director in &self.directors {
            if std::thread::panicking() {
                director.explain();
            }
            director.kill();
        }
        self.servers.clear();
    }
}
