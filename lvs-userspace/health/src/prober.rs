//! Makes one probe of a health check.

use std::sync::Arc;
use std::time::Instant;

use lvs_dataplane::service_path::ServicePath;
use lvs_process::user::User;
use tokio::time::timeout;

use super::check::{Check, Kind};
use super::describe;
use super::outcome::{Failure, Outcome};
use super::probe::tls::Configurations;
use super::probe::{Found, Probe, connect, external, ping};

/// Makes probes, and keeps what they share.
///
/// Certificate authorities are read once: to see changed files, make another one.
#[derive(Debug, Default)]
pub struct Prober {
    tls: Configurations,
    /// None: there is no way to a virtual address by way of one server.
    service_path: Option<Arc<ServicePath>>,
    /// User of commands whose check names none; none: the daemon's own.
    user: Option<User>,
}

impl Prober {
    /// With this way to virtual addresses, or without; commands whose check names no user run as this one, or as the
    /// daemon's own.
    pub fn new(service_path: Option<Arc<ServicePath>>, user: Option<User>) -> Self {
        Self {
            service_path,
            user,
            ..Self::default()
        }
    }

    /// Makes one probe. It ends, at the latest, with the check's timeout; dropped, it leaves nothing
    /// behind.
    ///
    /// [`Kind::Combined`] is negotiated; for its connections in between the caller runs
    /// [`Check::connecting`].
    pub async fn run(&self, check: &Check) -> Outcome {
        let begin = Instant::now();
        let user = check.user.as_ref().or(self.user.as_ref());
        let probe = Probe::new(
            check.endpoint(),
            &self.tls,
            self.service_path.as_ref(),
            user,
        );
        let found = match timeout(check.timeout, find(&check.kind, &probe)).await {
            Ok(found) => found,
            Err(_) => Err(Failure::Timeout {
                awaited: probe.awaited(),
                limit: check.timeout,
            }),
        };
        Outcome {
            exit_code: probe.exit_code.get().copied(),
            ..describe::outcome(check, found, begin.elapsed())
        }
    }
}

async fn find(kind: &Kind, probe: &Probe<'_>) -> Found {
    match kind {
        Kind::On => Ok("no check".to_owned()),
        Kind::Off => Err(Failure::Own("checks are off".to_owned())),
        Kind::Connect => connect::probe(probe).await,
        Kind::Negotiate(checker) | Kind::Combined { checker, .. } => checker.probe(probe).await,
        Kind::Ping { attempts } => ping::probe(probe, *attempts).await,
        Kind::External(external) => Box::pin(external::probe(probe, external)).await,
    }
}
