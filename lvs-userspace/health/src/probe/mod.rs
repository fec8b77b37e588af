//! Probes: a check is asked of a server, and a sentence says what became of it.
//!
//! One file per protocol, each with one `async fn probe` that takes the [`Probe`] under way and
//! returns a phrase of what it found or a [`Failure`]. It looks at no clock: the whole of it is under
//! the check's timeout, and what was being waited for when that ended is told by
//! [`Probe::awaits`], which every operation of a [`connection::Connection`] calls. What a server sends
//! is read through limits only.
//!
//! A probe is one future, without a thread or a task of its own: thousands of them wait at once.

mod connect;
mod connection;
mod datagram;
mod dialogue;
mod dns;
mod external;
mod ftp;
mod http;
mod imap;
mod ldap;
mod nntp;
mod ping;
mod pop;
mod radius;
mod redis;
mod sentence;
mod simpletcp;
mod sip;
mod smtp;
mod socket;
mod sql;
#[cfg(test)]
mod testing;
mod tls;
mod udp;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::time::timeout;

use super::check::{Check, Kind, Path, Service};
use super::outcome::{Failure, Outcome};
use lvs_dataplane::service_path::{self, ServicePath};

/// What a protocol returns: what it found, as a phrase (`HTTP 200`), or why that is no good.
type Found = Result<String, Failure>;

/// Makes probes, and keeps what they share.
///
/// Certificate authorities are read once: to see changed files, make another one.
#[derive(Debug, Default)]
pub struct Prober {
    tls: tls::Configurations,
    /// None: there is no way to a virtual address by way of one server.
    service_path: Option<Arc<ServicePath>>,
}

impl Prober {
    /// With this way to virtual addresses, or without.
    pub fn new(service_path: Option<Arc<ServicePath>>) -> Self {
        Self {
            service_path,
            ..Self::default()
        }
    }

    /// Makes one probe. It ends, at the latest, with the check's timeout; dropped, it leaves nothing
    /// behind.
    ///
    /// [`Kind::Combined`] is negotiated; whose turn it is to be only connected to is known to the
    /// caller, who then asks with [`Check::connecting`].
    pub async fn run(&self, check: &Check) -> Outcome {
        let begin = Instant::now();
        let probe = Probe {
            check,
            prober: self,
            awaited: Mutex::new("answer"),
            path_entries: Mutex::default(),
            exit_code: OnceLock::new(),
        };
        let found = match timeout(check.timeout, probe.ask()).await {
            Ok(found) => found,
            Err(_) => Err(Failure::Timeout {
                awaited: probe.awaited(),
                limit: check.timeout,
            }),
        };
        Outcome {
            exit_code: probe.exit_code.into_inner(),
            ..sentence::outcome(check, found, begin.elapsed())
        }
    }
}

/// A probe under way.
struct Probe<'a> {
    check: &'a Check,
    prober: &'a Prober,
    /// What did not come, should the time be over now.
    awaited: Mutex<&'static str>,
    /// What its sockets on the service path need as long as they are open.
    path_entries: Mutex<Vec<service_path::ProbeEntry>>,
    /// Of an external check, once there is one.
    exit_code: OnceLock<u8>,
}

impl Probe<'_> {
    /// From now on this is waited for: a noun, `greeting`.
    fn awaits(&self, what: &'static str) {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    fn awaited(&self) -> &'static str {
        *self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is asked: the server, or the virtual address by way of it.
    fn target(&self) -> SocketAddr {
        match self.check.path {
            Path::Own => self.check.target,
            Path::Service { address, .. } => address,
        }
    }

    async fn ask(&self) -> Found {
        match &self.check.kind {
            Kind::On => Ok("no check".to_owned()),
            Kind::Off => Err(Failure::Own("checks are off".to_owned())),
            Kind::Connect => connect::probe(self).await,
            Kind::Negotiate(service) | Kind::Combined { service, .. } => {
                self.negotiate(service).await
            }
            Kind::Ping { attempts } => ping::probe(self, *attempts).await,
            Kind::External(external) => Box::pin(external::probe(self, external)).await,
        }
    }

    /// Boxed: connections, most of all probes, need not be as large as the largest of these.
    fn negotiate<'a>(
        &'a self,
        service: &'a Service,
    ) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        match service {
            Service::None => Box::pin(async { Ok("no check".to_owned()) }),
            Service::Http(settings) => Box::pin(http::probe(self, settings)),
            Service::HttpProxy(settings) => Box::pin(http::probe_proxy(self, settings)),
            Service::Smtp { tls } => Box::pin(smtp::probe(self, tls.as_ref())),
            Service::Pop(mailbox) => Box::pin(pop::probe(self, mailbox)),
            Service::Imap(mailbox) => Box::pin(imap::probe(self, mailbox)),
            Service::Ftp {
                credentials,
                request,
                receive,
            } => Box::pin(ftp::probe(self, credentials, request, receive.as_ref())),
            Service::Nntp => Box::pin(nntp::probe(self)),
            Service::Ldap {
                credentials,
                base,
                receive,
                tls,
            } => Box::pin(ldap::probe(
                self,
                ldap::Question {
                    credentials,
                    base,
                    receive: receive.as_ref(),
                    tls: tls.as_ref(),
                },
            )),
            Service::Dns {
                name,
                record,
                receive,
                tcp,
            } => Box::pin(dns::probe(self, name, record, receive.as_ref(), *tcp)),
            Service::Sip { login, tcp } => Box::pin(sip::probe(self, login, *tcp)),
            Service::Radius {
                credentials,
                secret,
            } => Box::pin(radius::probe(self, credentials, secret)),
            Service::Redis {
                credentials,
                request,
                receive,
            } => Box::pin(redis::probe(self, credentials, request, receive.as_ref())),
            Service::Sql {
                engine,
                credentials,
                database,
                query,
                receive,
            } => Box::pin(sql::probe(
                self,
                *engine,
                sql::Question {
                    credentials,
                    database,
                    query,
                    receive: receive.as_ref(),
                },
            )),
            Service::SimpleTcp { request, receive } => {
                Box::pin(simpletcp::probe(self, request, receive.as_ref()))
            }
            Service::Tls(settings) => Box::pin(tls::probe(self, settings)),
            Service::Udp { payload, receive } => {
                Box::pin(udp::probe(self, payload, receive.as_ref()))
            }
        }
    }
}
