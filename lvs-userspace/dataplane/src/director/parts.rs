//! The director, put together of its parts.

use std::sync::{Arc, mpsc};

use tokio::sync::watch;

use super::address_filter::AddressFilter;
use super::allocator::Allocator;
use super::filters::Filters;
use super::local_broadcast::LocalBroadcasts;
use super::marks::Marks;
use super::next_hops::NextHops;
use super::one_network::LatestNetworks;
use super::publisher::Publisher;
use super::servers::Servers;
use super::services::Services;
use super::source_pools::SourcePools;
use super::statistics::Statistics;
use super::syn_retries::SynRetryCounters;
use super::sysctls::Sysctls;
use crate::followed::Followed;
use crate::kernel::{KernelError, Maps, ServiceKeys};

/// The single writer of the tables: makes the maps say what the operator wants.
///
/// Each part keeps one kind of state and knows no other part's; the director's methods, in a file for each
/// kind of change, call them in the order in which the maps may be written.
pub struct Director {
    pub(super) maps: Arc<Maps>,
    pub(super) keys: ServiceKeys,
    pub(super) allocator: Allocator,
    pub(super) services: Services,
    pub(super) servers: Servers,
    pub(super) marks: Marks,
    pub(super) hops: NextHops,
    pub(super) source_pools: SourcePools,
    pub(super) publisher: Publisher,
    pub(super) filter: AddressFilter,
    pub(super) filters: Filters,
    pub(super) syn_retries: SynRetryCounters,
    pub(super) statistics: Statistics,
    pub(super) own_networks: LatestNetworks,
    pub(super) broadcasts: LocalBroadcasts,
    pub(super) sysctls: Sysctls,
    /// Receives servers whose silent clients are to be reset.
    pub(super) resets: Option<mpsc::Sender<u32>>,
}

impl Director {
    /// Takes over the tables as they are.
    pub fn new(maps: Arc<Maps>, keys: ServiceKeys) -> Result<Self, KernelError> {
        let mut director = Self {
            keys,
            allocator: Allocator::new(&maps),
            services: Services::default(),
            servers: Servers::new(Arc::clone(&maps)),
            marks: Marks::new(Arc::clone(&maps)),
            hops: NextHops::new(Arc::clone(&maps)),
            source_pools: SourcePools::new(Arc::clone(&maps)),
            publisher: Publisher::new(Arc::clone(&maps)),
            filter: AddressFilter::new(Arc::clone(&maps)),
            filters: Filters::new(Arc::clone(&maps)),
            syn_retries: SynRetryCounters::new(Arc::clone(&maps)),
            statistics: Statistics::new(Arc::clone(&maps)),
            own_networks: LatestNetworks::default(),
            broadcasts: LocalBroadcasts::default(),
            sysctls: Sysctls::new(Arc::clone(&maps)),
            resets: None,
            maps,
        };
        director.adopt()?;
        director.follow_sysctls();
        director.follow();
        Ok(director)
    }

    /// The maps.
    pub const fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// The addresses whose next hops have to be kept, whenever they change.
    pub fn followed(&self) -> watch::Receiver<Followed> {
        self.hops.followed()
    }

    /// Has the addresses of the configured servers resolved, and no others.
    pub(super) fn follow(&self) {
        self.hops.follow(|| self.servers.configured_hosts());
    }
}
