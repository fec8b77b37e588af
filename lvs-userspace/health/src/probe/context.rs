//! A probe under way.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use lvs_dataplane::service_path::{ProbeEntry, ServicePath};
use lvs_process::user::User;

use super::tls::Configurations;
use crate::outcome::Failure;
use crate::path::Endpoint;
use parking_lot::Mutex;

/// The finding of a probe as a phrase (`HTTP 200`), or why it is no good.
pub type Found = Result<String, Failure>;

/// A probe under way.
#[derive(Debug)]
pub struct Probe<'a> {
    pub(crate) endpoint: Endpoint,
    /// TLS configurations of all probes.
    pub(super) tls: &'a Configurations,
    /// None: there is no way to a virtual address by way of one server.
    pub(super) service_path: Option<&'a Arc<ServicePath>>,
    /// User that its command runs as; none: the daemon's own.
    pub(crate) user: Option<&'a User>,
    /// The thing that did not come, should the time be over now.
    awaited: Mutex<&'static str>,
    /// Entries of its sockets on the service path, which have to outlive them.
    pub(super) path_entries: Mutex<Vec<ProbeEntry>>,
    /// Exit code of an external check, once there is one.
    pub(crate) exit_code: OnceLock<u8>,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(
        endpoint: Endpoint,
        tls: &'a Configurations,
        service_path: Option<&'a Arc<ServicePath>>,
        user: Option<&'a User>,
    ) -> Self {
        Self {
            endpoint,
            tls,
            service_path,
            user,
            awaited: Mutex::new("answer"),
            path_entries: Mutex::default(),
            exit_code: OnceLock::new(),
        }
    }

    /// Names the thing that is waited for from now on: a noun, `greeting`.
    pub(crate) fn awaits(&self, what: &'static str) {
        *self.awaited.lock() = what;
    }

    pub(crate) fn awaited(&self) -> &'static str {
        *self.awaited.lock()
    }

    /// The address that is connected to: the server, or the virtual address by way of it.
    pub(crate) fn target(&self) -> SocketAddr {
        self.endpoint.target()
    }
}
