//! The single writer of the tables: makes the maps say what the operator wants.
//!
//! Every edit goes the same way: [`after`] works out (and refuses, if need be) what the service is to be,
//! and `Director::upsert_service` or `Director::remove_service` makes the maps so. A packet sees the
//! service before or the service after, see [`lvs_common::abi`]. Dying between any two stores leaves
//! maps that `adopt` understands.
//!
//! ```text
//!   edit ──► upsert ──► publisher ──► plan        adopt: at the start, reads all of it back
//!               │           └─► allocator         expire: once a second, frees what is no longer used
//!               ├─► services                      resolve: at a change of a next hop
//!               ├─► servers ──► trash             down: at a change of a server's health
//!               ├─► next_hops, source_pools, filters ──► allocator       list: when it is asked for
//!               └─► marks, address_filter, statistics, syn_retries, sysctls
//! ```
//!
//! On the left of each arrow is what knows the other side. `parts` puts together those of the second
//! column and below; none of them knows the director.

mod address_filter;
mod adopt;
mod allocator;
mod batch;
mod changes;
mod configuration;
mod down;
mod edit;
mod expire;
mod filters;
mod follow_sysctls;
mod ftp;
mod keys;
mod list;
mod local_broadcast;
mod locality;
mod lookup;
mod lost_traffic;
mod marks;
mod next_hops;
mod one_network;
mod overload;
mod own_end;
mod own_networks;
mod parts;
mod plan;
mod publisher;
mod recognize;
mod refusal;
mod resolve;
mod servers;
mod services;
mod source_pools;
mod statistics;
mod syn_retries;
mod sysctls;
mod timeouts;
mod trash;
mod upsert;
mod wanted;

pub use self::configuration::Configuration;
pub use self::down::SynRetries;
pub(crate) use self::keys::{method as api_method, service as service_of_key};
pub use self::lookup::{service_id, service_index};
pub use self::next_hops::NextHop;
pub use self::one_network::keeps_source;
pub use self::own_end::needs_own_port;
pub use self::own_networks::OwnNetworks;
pub use self::parts::Director;
pub use self::recognize::{Recognized, Unrecognized};
pub use self::sysctls::get as sysctl;
pub use self::wanted::{
    ENGINE, Wanted, after, canonical_service, check_server, check_service, identity, is_unicast,
    mixes_families,
};
pub use lvs_api::model::OnDown;
