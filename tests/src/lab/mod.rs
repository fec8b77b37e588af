//! Network namespaces with a client, a director and three real servers.
//!
//! ```text
//!   client                director                      server1 … server3
//!     eth0            front │ back (or eth0)                  eth0
//!      │                │        │                             │
//!  ────┴── bridge ──────┴── router ──┴────────── bridge ───────┴────
//!          10.1.0.0/24                           10.2.0.0/24
//!          fd00:1::/64                           fd00:2::/64
//! ```
//!
//! Both bridges and the router between them live in a namespace of their own, which stands for the
//! network. The director has one foot on each bridge ([`Arms::Two`]), or there is one bridge for all
//! and the director has a single interface ([`Arms::One`]), perhaps one without XDP of its own
//! ([`Arms::Bridge`], [`Arms::Container`] and the others).
//!
//! One network serves every forwarding method at once. Replies that carry a virtual address as their
//! source (direct routing, tunnel) leave the real servers by their default route, the router; replies
//! that carry the server's own address leave by the director, as NAT needs it. A rule on the source
//! address decides.
//!
//! Why bridges between, and not veth pairs from host to host: the director's XDP program takes
//! and sends raw frames, so the other end of its veth pair has to receive frames without a socket
//! buffer ([`receive`]) and has to send finished checksums and no super-packets (which it does with
//! transmit offloads off). With a bridge port at that end, only these ports need it, and
//! clients and servers keep the settings every machine has.
//!
//! Nothing of the machine's own network is touched: interfaces are created inside the namespaces.
//! Remains of a killed lab are removed when the next one starts ([`owner`]).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use client::Client;
pub use director::Director;
pub use namespace::Namespace;
pub use network::{Arms, Directors, Host, Network};
pub use page::Page;
pub use pair::Pair;
pub use server::RealServer;
pub use site::Site;

pub mod addresses;
pub mod client;
mod command;
mod decapsulate;
pub mod director;
pub mod equal_cost;
pub mod installation;
pub mod island;
mod machine;
mod namespace;
mod network;
mod owner;
mod page;
mod pair;
mod receive;
mod requirements;
mod server;
mod site;
pub mod traffic;
pub mod tun;
mod udp;

pub use command::output as command_output;
pub use director::built;
pub use island::Island;
pub use machine::{Ended, Machine};
pub use owner::{close_leftovers, exit_code_on_signal};
pub use requirements::{Missing, available, find, library, programs, skipped};

/// A running lab. It is taken down when it is dropped, on Ctrl-C and on SIGTERM.
pub struct Lab {
    /// The client.
    pub client: Client,
    /// The director; its daemon is not started yet.
    pub director: Director,
    /// The real servers, answering.
    pub servers: Vec<RealServer>,
    network: Network,
    claim: owner::Claim,
}

impl Lab {
    /// Number of real servers.
    pub const SERVERS: u8 = 3;

    /// Builds the network and starts the real servers.
    pub fn new(arms: Arms) -> Result<Self> {
        let claim = owner::Claim::new()?;
        let network = Network::build(claim.prefix(), arms, Directors::One)
            .context("cannot build the network")?;
        server::write_random_file(&claim.folder().join("large"), RealServer::LARGE)?;
        let servers = server::start_all(&network, claim.folder())?;
        let director = Director::new(&network, claim.folder())?;
        let client = Client::new(network.namespace(Host::Client), claim.folder());
        Ok(Self {
            client,
            director,
            servers,
            network,
            claim,
        })
    }

    /// For stories: a lab whose director forwards by these `ipvsadm -S` lines, or `None` where
    /// there can be none (see [`available`]).
    ///
    /// # Panics
    ///
    /// When it cannot be built: the story has failed.
    pub fn for_story(arms: Arms, lines: &str) -> Option<Self> {
        if !available() {
            return None;
        }
        let lab = Self::new(arms).unwrap_or_else(|error| panic!("{error:#}"));
        lab.director
            .start_configured(lines)
            .unwrap_or_else(|error| panic!("{error:#}"));
        Some(lab)
    }

    /// The folder of this lab's configuration, logs, sockets and pins.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// The file that real servers offer as `/large` (and, slowly, as `/slow`).
    pub fn large_file(&self) -> PathBuf {
        self.folder().join("large")
    }

    /// True if the other ends of the director's wires were prepared for XDP.
    pub fn is_prepared(&self) -> bool {
        self.network.arms().prepared()
    }

    /// Takes the XDP programs off the other ends of the director's wires: they take no frames from one then.
    pub fn stop_receiving(&mut self) {
        self.network.stop_receiving();
    }

    /// Puts them there again.
    pub fn receive(&mut self) -> Result<()> {
        self.network.receive()
    }

    /// Deletes the director's macvlan device and makes it anew, in a lab of [`Arms::Macvlan`].
    pub fn remake_macvlan(&self) -> Result<()> {
        self.network.remake_macvlan()
    }

    /// A client on the director itself.
    pub fn local_client(&self) -> Client {
        Client::new(self.director.namespace().clone(), self.folder())
    }

    /// Namespace of a host.
    pub fn namespace(&self, host: Host) -> Namespace {
        self.network.namespace(host)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.director.explain();
        }
        // Before the namespaces go: what runs in them, threads of this process included.
        self.director.kill();
        self.servers.clear();
    }
}
