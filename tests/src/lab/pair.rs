//! Two directors and one set of virtual addresses.
//!
//! The network is that of a lab with two arms. Each director has addresses of its own on both sides, and
//! a third interface, `sync`, to the other. The virtual addresses, and the address on the real servers'
//! network that is their gateway for NAT, are for the daemons to hold: [`Pair::address_options`].

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lvs_api::model::Family;
use lvs_api::role::Role;
use tempfile::NamedTempFile;

use super::addresses::{self, FAMILIES, METHODS, host_length, prefix_length};
use super::network::{self, Arms, Directors, Host, Network};
use super::{Client, Director, Namespace, RealServer, available, owner, server};

/// A running pair. It is taken down when it is dropped, on Ctrl-C and on SIGTERM.
pub struct Pair {
    /// The client.
    pub client: Client,
    /// The directors; their daemons are not started yet.
    pub directors: [Director; 2],
    /// The real servers, answering.
    pub servers: Vec<RealServer>,
    network: Network,
    claim: owner::Claim,
}

impl Pair {
    /// Builds the network and starts the real servers, whose `/large` has so many bytes.
    pub fn new(large: u64) -> Result<Self> {
        let claim = owner::Claim::new()?;
        let network = Network::build(claim.prefix(), Arms::Two, Directors::Several(2))
            .context("cannot build the network")?;
        let folder = claim.folder();
        server::write_random_file(&folder.join("large"), large)?;
        Ok(Self {
            client: Client::new(network.namespace(Host::Client), folder),
            directors: [
                Director::one_of(&network, 1, folder)?,
                Director::one_of(&network, 2, folder)?,
            ],
            servers: server::start_all(&network, folder)?,
            network,
            claim,
        })
    }

    /// For stories: `None` where there can be none (see [`available`]).
    ///
    /// # Panics
    ///
    /// When it cannot be built: the story has failed.
    pub fn for_story() -> Option<Self> {
        available()
            .then(|| Self::new(RealServer::LARGE).unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// `lvsd`'s options for the virtual addresses of every method in both families.
    pub fn address_options() -> Vec<String> {
        let mut options = Vec::new();
        for family in FAMILIES {
            for method in METHODS {
                let address = addresses::virtual_address(family, method);
                let length = host_length(family);
                options.push(format!("--virtual-address={address}/{length}@front"));
            }
            options.push(format!("--virtual-address={}", gateway(family)));
        }
        options
    }

    /// Starts the daemon of a director, linked to the other, with [the addresses](Self::address_options) and
    /// this configuration.
    pub fn start_linked(&self, number: u8, role: Role, configuration: &str) -> Result<()> {
        self.start_linked_with(number, role, configuration, &[])
    }

    /// Likewise, with more options.
    pub fn start_linked_with(
        &self,
        number: u8,
        role: Role,
        configuration: &str,
        more: &[&str],
    ) -> Result<()> {
        let key = self.key()?;
        let peer = addresses::own_sync(Family::Ipv4, 3 - number);
        let mut options = Self::address_options();
        options.extend([
            format!("--role={role}"),
            format!("--peer={peer}"),
            format!("--peer-key={}", key.display()),
        ]);
        let options = options
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied());
        let options: Vec<_> = options.collect();
        self.director(number)
            .start_configured_with(configuration, &options)
    }

    /// The file of the key that the two share. It is never seen half written, since both may start at once.
    fn key(&self) -> Result<PathBuf> {
        let key = self.folder().join("key");
        let mut file = NamedTempFile::new_in(self.folder())?;
        file.write_all(b"what the two directors share")?;
        file.persist(&key)?;
        Ok(key)
    }

    /// Starts both daemons with the services of these lines, the first as master of
    /// [the addresses](Self::address_options), the second as backup; `options` are for both.
    pub fn start(&self, lines: &str, options: &[&str]) -> Result<()> {
        for (director, role) in self.directors.iter().zip(["master", "backup"]) {
            let addresses = Self::address_options();
            let mut all: Vec<_> = addresses.iter().map(String::as_str).collect();
            all.extend(["--role", role]);
            all.extend(options);
            director.start_configured_with(lines, &all)?;
        }
        Ok(())
    }

    /// A whole director dies: its daemon is killed and its cables are pulled at the same moment.
    pub fn crash(&self, number: u8) -> Result<()> {
        network::crash(self.director(number))
    }

    /// It boots again, and knows nothing: no data path, no role, no address but its own.
    pub fn boot(&self, number: u8) -> Result<()> {
        let director = self.director(number);
        director.forget()?;
        let namespace = director.namespace();
        for interface in ["front", "back", network::SYNC] {
            namespace.run("ip", &["address", "flush", "dev", interface])?;
        }
        namespace.ip(&network::boot_lines(number)?)
    }

    /// A director, counted from 1.
    ///
    /// # Panics
    ///
    /// When there is none of that number.
    pub fn director(&self, number: u8) -> &Director {
        &self.directors[usize::from(number) - 1]
    }

    /// The folder of configuration, logs, sockets and pins.
    pub fn folder(&self) -> &Path {
        self.claim.folder()
    }

    /// The file that real servers offer as `/large` (and, slowly, as `/slow`).
    pub fn large_file(&self) -> PathBuf {
        self.folder().join("large")
    }

    /// Namespace of a host.
    pub fn namespace(&self, host: Host) -> Namespace {
        self.network.namespace(host)
    }
}

/// The gateway of the real servers for NAT, as `--virtual-address` takes it.
fn gateway(family: Family) -> String {
    let address = addresses::director_back(family);
    format!("{address}/{}@back", prefix_length(family))
}

impl Drop for Pair {
    fn drop(&mut self) {
        for director in &self.directors {
            if std::thread::panicking() {
                director.explain();
            }
            // Before the namespaces go: what runs in them, threads of this process included.
            director.kill();
        }
        self.servers.clear();
    }
}
