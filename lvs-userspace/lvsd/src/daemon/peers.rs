//! Sessions with other directors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use lvs_failover::role::handover;
use lvs_replication::peer::{Key, KeyError, Options, Peers};

use super::{peer_agreement, peer_health};
use crate::control::{Control, OwnConsent};

/// The peers, as the command line names them.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    /// Addresses, as `HOST:PORT`.
    pub peers: Vec<String>,
    /// Address to listen on; none: any.
    pub listen: Option<SocketAddr>,
    /// The file with the key that all of them share.
    pub key: PathBuf,
}

impl PeerSettings {
    /// Reads the key.
    pub(super) fn read(&self) -> Result<Options, KeyError> {
        Ok(Options {
            peers: self.peers.clone(),
            listen: self.listen,
            key: Key::read(&self.key)?,
        })
    }
}

/// Listens for peers and connects to them.
pub(super) async fn start(control: &Arc<Control>, options: Options) -> Result<()> {
    let director = Arc::clone(control.shared_director());
    let (feed, role) = (control.sync().feed(), control.roles().follow_for_peers());
    let peers = Peers::start(options, director, feed, role)
        .await
        .context("cannot listen for peers")?;
    tracing::info!("peers may connect to {}", peers.listening());
    let (takeovers, health) = (peers.subscribe(), peers.subscribe());
    let agreements = peers.subscribe();
    let peers = Arc::new(peers);
    control.set_peers(Arc::clone(&peers));
    tokio::spawn(handover::take_over(
        Arc::clone(control.roles()),
        peers,
        OwnConsent(Arc::clone(control)),
        takeovers,
    ));
    tokio::spawn(peer_agreement::exchange(Arc::clone(control), agreements));
    tokio::spawn(peer_health::exchange(Arc::clone(control), health));
    Ok(())
}
