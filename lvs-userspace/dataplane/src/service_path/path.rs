//! Sockets for probes on the service path.

use std::collections::VecDeque;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use lvs_api::model::Method;
use lvs_common::abi::{Config, FIRST_PROBE_PORT, ProbeKey, ProbeRoute};
use nix::net::if_::if_nametoindex;
use parking_lot::{Mutex, MutexGuard};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::spawn_blocking;
use tracing::info;

use super::namespace::Namespace;
use super::veth::Veth;
use crate::address::{family, widen};
use crate::kernel::{KernelError, Maps};
use crate::neighbour::Route;

/// Time for which the last packets of a finished probe still pass: those that end its connection.
const LINGER: Duration = Duration::from_secs(2);
/// Ports that are tried until one is free.
const ATTEMPTS: u32 = 256;

/// The director lacks what a probe needs: that says nothing about the server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

fn unavailable(why: impl Into<String>) -> io::Error {
    io::Error::other(Unavailable(why.into()))
}

/// The path of a probe to be.
#[derive(Clone, Copy, Debug)]
pub struct ProbePath {
    /// The virtual address and the port that is probed.
    pub to: SocketAddr,
    /// The real server.
    pub server: IpAddr,
    /// The method by which packets are forwarded to it.
    pub method: Method,
    /// The address to come from; none: the one that the director has on the way to the server.
    pub source: Option<IpAddr>,
}

/// Attaches the program that sends the packets of probes on, to the interface of that name.
type Attach = dyn Fn(&str) -> Result<(), KernelError> + Send + Sync;

/// The path to virtual addresses by way of real servers.
pub struct ServicePath {
    /// Or the reason why there is none.
    namespace: Result<Namespace, String>,
    attach: Arc<Attach>,
    maps: Arc<Maps>,
    veth: tokio::sync::Mutex<Option<Veth>>,
    /// The port that is tried next.
    port: AtomicU16,
    /// Finished probes, oldest first.
    lingering: Mutex<VecDeque<(Instant, ProbeKey)>>,
}

impl std::fmt::Debug for ServicePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServicePath").finish_non_exhaustive()
    }
}

impl ServicePath {
    /// A path by way of a namespace. Its veth pair is created for the first probe; `attach` attaches the
    /// program that sends on what comes by the interface outside.
    pub fn new(
        namespace: io::Result<Namespace>,
        attach: impl Fn(&str) -> Result<(), KernelError> + Send + Sync + 'static,
        maps: Arc<Maps>,
    ) -> Self {
        Self {
            namespace: namespace.map_err(|error| error.to_string()),
            attach: Arc::new(attach),
            maps,
            veth: tokio::sync::Mutex::default(),
            port: AtomicU16::new(fastrand::u16(..)),
            lingering: Mutex::default(),
        }
    }

    /// A socket for a probe, bound to its source address, and its entry, to be kept until it is finished.
    /// None: the server is the director itself, and any socket will do.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] and errors of [`Socket`] are the director's own; that there is no way to the
    /// server is not.
    pub async fn socket(
        self: &Arc<Self>,
        path: &ProbePath,
        kind: Type,
        protocol: Protocol,
    ) -> io::Result<Option<(Socket, ProbeEntry)>> {
        let namespace = self.namespace.as_ref().map_err(|why| {
            unavailable(format!(
                "probes get no network namespace of their own: {why}"
            ))
        })?;
        let route = match namespace.route(path.server).await? {
            Route::Local => return Ok(None),
            Route::None(why) => return Err(io::Error::new(io::ErrorKind::HostUnreachable, why)),
            Route::Unicast {
                interface,
                gateway,
                source,
                ..
            } => ServerRoute {
                interface,
                neighbour: gateway.unwrap_or(path.server),
                source,
            },
        };
        let veth = self.veth(namespace).await?;
        let own = own_address(path, &route)?;
        let entry = self.insert(path, &veth, &route, own, protocol)?;
        let domain = Domain::for_address(entry.from);
        let socket = namespace.socket(domain, kind, protocol).await?;
        // The namespace has no addresses.
        match entry.from {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
        // Connections that are about to end do not keep the port.
        socket.set_reuse_address(true)?;
        let port = if kind == Type::RAW {
            0
        } else {
            entry.from.port()
        };
        socket.bind(&SocketAddr::new(own, port).into())?;
        Ok(Some((socket, entry)))
    }

    /// The veth pair, created where it is missing.
    async fn veth(&self, namespace: &Namespace) -> io::Result<Veth> {
        let mut found = self.veth.lock().await;
        if let Some(veth) = &*found
            && if_nametoindex(&*veth.name) == Ok(veth.interface)
        {
            return Ok(veth.clone());
        }
        *found = None;
        let veth = namespace.create_veth().await.map_err(|error| {
            unavailable(format!("probes get no network stack of their own: {error}"))
        })?;
        let (attach, name) = (Arc::clone(&self.attach), veth.name.clone());
        let attached = spawn_blocking(move || attach(&name))
            .await
            .map_err(io::Error::other)?;
        attached.map_err(|error| unavailable(format!("probes cannot be sent: {error}")))?;
        let probing = self.maps.config.word(0, offset_of!(Config, probing));
        if let Some(probing) = probing {
            probing.store(1, Ordering::Release);
        }
        info!("probes by way of the service leave by {}", veth.name);
        *found = Some(veth.clone());
        Ok(veth)
    }

    /// Inserts the entry of a probe, with a port that is free.
    fn insert(
        self: &Arc<Self>,
        path: &ProbePath,
        veth: &Veth,
        server: &ServerRoute,
        own: IpAddr,
        protocol: Protocol,
    ) -> io::Result<ProbeEntry> {
        self.expire();
        let route = route(path, veth, server)?;
        let echo = [Protocol::ICMPV4, Protocol::ICMPV6].contains(&protocol);
        for _ in 0..ATTEMPTS {
            let port = self.port.fetch_add(1, Ordering::Relaxed) | FIRST_PROBE_PORT;
            let key = ProbeKey {
                virtual_address: widen(path.to.ip()),
                own_address: widen(own),
                virtual_port: if echo { 0 } else { path.to.port() }.into(),
                own_port: port.into(),
                protocol: u8::try_from(i32::from(protocol)).unwrap_or(0),
                family: family(&own),
                reserved: [0; 2],
            };
            let inserted = self.maps.probes.insert(key, route);
            if inserted.map_err(|error| unavailable(error.to_string()))? {
                return Ok(ProbeEntry {
                    path: Arc::clone(self),
                    key,
                    from: SocketAddr::new(own, port),
                });
            }
        }
        Err(unavailable(format!("no port is free for {}", path.to)))
    }

    /// Removes the entries of probes that finished [`LINGER`] ago.
    fn expire(&self) {
        let mut lingering = self.lingering();
        while let Some((_, key)) = lingering.pop_front_if(|(since, _)| since.elapsed() > LINGER) {
            self.maps.probes.remove(key);
        }
    }

    fn lingering(&self) -> MutexGuard<'_, VecDeque<(Instant, ProbeKey)>> {
        self.lingering.lock()
    }
}

/// The entry of a probe in the data path's table. It is removed shortly after this is dropped.
#[derive(Debug)]
pub struct ProbeEntry {
    path: Arc<ServicePath>,
    key: ProbeKey,
    /// Source of the probe; the port of an echo request is its identifier.
    pub from: SocketAddr,
}

impl Drop for ProbeEntry {
    fn drop(&mut self) {
        self.path.lingering().push_back((Instant::now(), self.key));
    }
}

/// The director's route to a real server.
struct ServerRoute {
    interface: u32,
    /// The neighbour that its packets are sent to.
    neighbour: IpAddr,
    /// The director's own address for it.
    source: Option<IpAddr>,
}

fn route(path: &ProbePath, veth: &Veth, server: &ServerRoute) -> io::Result<ProbeRoute> {
    let mut route = ProbeRoute {
        neighbour: widen(server.neighbour),
        tunnel_source: [0; 16],
        tunnel_destination: [0; 16],
        interface: server.interface,
        probe_interface: veth.interface,
        probe_mac: veth.mac,
        neighbour_family: family(&server.neighbour),
        tunnel_family: 0,
    };
    if path.method == Method::Tunnel {
        let source = server.source.ok_or_else(|| {
            unavailable(format!(
                "the director has no address on the way to {}",
                path.server
            ))
        })?;
        route.tunnel_source = widen(source);
        route.tunnel_destination = widen(path.server);
        route.tunnel_family = family(&path.server);
    }
    Ok(route)
}

/// The director's address that the server answers to.
fn own_address(path: &ProbePath, route: &ServerRoute) -> io::Result<IpAddr> {
    let fits = |address: &IpAddr| address.is_ipv4() == path.to.is_ipv4();
    let own = path.source.filter(fits).or(route.source.filter(fits));
    let own = own.ok_or_else(|| {
        unavailable(format!(
            "the director has no address of its own towards {}: name one with checksource",
            path.server
        ))
    })?;
    if own == path.to.ip() {
        return Err(unavailable(format!(
            "{own} is the director's own address towards {}, too: name another with checksource",
            path.server
        )));
    }
    Ok(own)
}
