//! The service path: how a probe gets to a virtual address by way of one real server, as packets of
//! clients do.
//!
//! The director often has the virtual address itself, and its kernel would answer such a probe without
//! asking anybody. So these probes have a network stack of their own, in a namespace that knows no
//! addresses. For each probe there is an entry in a table of the data path ([`Pin`]) that says by which
//! server its packets go, known by its port. A program at the namespace's door sends them there, with
//! the server's Ethernet address or in a tunnel; the director's program recognizes the answers among
//! all that arrives and hands them in. See [`lvs_common::probe`].
//!
//! - `namespace`: the thread that lives in there.
//! - `door`: the interfaces between there and the director.

mod door;
mod namespace;

use std::collections::VecDeque;
use std::io;
use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lvs_common::abi::{Config, FIRST_PROBE_PORT, ProbeKey, ProbeRoute};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::spawn_blocking;
use tracing::info;

use self::door::Door;
pub use self::door::is_door;
pub use self::namespace::Namespace;
use crate::address::{family, widen};
use crate::kernel::{KernelError, Maps};
use crate::neighbour::Route;
use lvs_api::model::Method;

/// How long the last packets of a probe that is over may still pass: those that end its connection.
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

/// A probe to be.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// The virtual address and the port that is probed.
    pub to: SocketAddr,
    /// The real server.
    pub server: IpAddr,
    /// How packets are forwarded to it.
    pub method: Method,
    /// The address to come from; none: the one that the director has on the way to the server.
    pub source: Option<IpAddr>,
}

/// Has the packets that come by an interface sent by their routes.
type Sender = dyn Fn(&str) -> Result<(), KernelError> + Send + Sync;

/// The way to virtual addresses by way of real servers.
pub struct ServicePath {
    /// Or why there is none.
    namespace: Result<Namespace, String>,
    send: Arc<Sender>,
    maps: Arc<Maps>,
    door: tokio::sync::Mutex<Option<Door>>,
    /// The port that is tried next.
    port: AtomicU16,
    /// Probes that are over, oldest first.
    over: Mutex<VecDeque<(Instant, ProbeKey)>>,
}

impl std::fmt::Debug for ServicePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServicePath").finish_non_exhaustive()
    }
}

impl ServicePath {
    /// By way of a namespace. Its door is opened for the first probe; what comes by that interface
    /// `send` is to send by its routes.
    pub fn new(
        namespace: io::Result<Namespace>,
        send: impl Fn(&str) -> Result<(), KernelError> + Send + Sync + 'static,
        maps: Arc<Maps>,
    ) -> Self {
        Self {
            namespace: namespace.map_err(|error| error.to_string()),
            send: Arc::new(send),
            maps,
            door: tokio::sync::Mutex::default(),
            port: AtomicU16::new(fastrand::u16(..)),
            over: Mutex::default(),
        }
    }

    /// A socket for a probe, bound to where it comes from, and what it needs until it is over. None: the
    /// server is the director itself, and any socket will do.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] and what [`Socket`] says are the director's own; that there is no way to the
    /// server is not.
    pub async fn socket(
        self: &Arc<Self>,
        trip: &Trip,
        kind: Type,
        protocol: Protocol,
    ) -> io::Result<Option<(Socket, Pin)>> {
        let namespace = self.namespace.as_ref().map_err(|why| {
            unavailable(format!(
                "probes get no network namespace of their own: {why}"
            ))
        })?;
        let way = match namespace.route(trip.server).await? {
            Route::Local => return Ok(None),
            Route::None(why) => return Err(io::Error::new(io::ErrorKind::HostUnreachable, why)),
            Route::Unicast {
                interface,
                gateway,
                source,
                ..
            } => Way {
                interface,
                neighbour: gateway.unwrap_or(trip.server),
                source,
            },
        };
        let door = self.door(namespace).await?;
        let own = own_address(trip, &way)?;
        let pin = self.pin(trip, &door, &way, own, protocol)?;
        let domain = Domain::for_address(pin.from);
        let socket = namespace.socket(domain, kind, protocol).await?;
        // The namespace has no addresses.
        match pin.from {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
        // Connections that are about to end do not keep the port.
        socket.set_reuse_address(true)?;
        let port = if kind == Type::RAW {
            0
        } else {
            pin.from.port()
        };
        socket.bind(&SocketAddr::new(own, port).into())?;
        Ok(Some((socket, pin)))
    }

    /// The open door.
    async fn door(&self, namespace: &Namespace) -> io::Result<Door> {
        let mut found = self.door.lock().await;
        if let Some(door) = &*found
            && if_nametoindex(&*door.name) == Ok(door.interface)
        {
            return Ok(door.clone());
        }
        *found = None;
        let door = namespace.door().await.map_err(|error| {
            unavailable(format!("probes get no network stack of their own: {error}"))
        })?;
        let (send, name) = (Arc::clone(&self.send), door.name.clone());
        let sent = spawn_blocking(move || send(&name))
            .await
            .map_err(io::Error::other)?;
        sent.map_err(|error| unavailable(format!("probes cannot be sent: {error}")))?;
        let probing = self.maps.config.word(0, offset_of!(Config, probing));
        if let Some(probing) = probing {
            probing.store(1, Ordering::Release);
        }
        info!("probes by way of the service leave by {}", door.name);
        *found = Some(door.clone());
        Ok(door)
    }

    /// Enters a probe by a port that is free.
    fn pin(
        self: &Arc<Self>,
        trip: &Trip,
        door: &Door,
        way: &Way,
        own: IpAddr,
        protocol: Protocol,
    ) -> io::Result<Pin> {
        self.forget_old();
        let route = route(trip, door, way)?;
        let echo = [Protocol::ICMPV4, Protocol::ICMPV6].contains(&protocol);
        for _ in 0..ATTEMPTS {
            let port = self.port.fetch_add(1, Ordering::Relaxed) | FIRST_PROBE_PORT;
            let key = ProbeKey {
                virtual_address: widen(trip.to.ip()),
                own_address: widen(own),
                virtual_port: if echo { 0 } else { trip.to.port() }.into(),
                own_port: port.into(),
                protocol: u8::try_from(i32::from(protocol)).unwrap_or(0),
                family: family(&own),
                reserved: [0; 2],
            };
            let entered = self.maps.probes.enter(key, route);
            if entered.map_err(|error| unavailable(error.to_string()))? {
                return Ok(Pin {
                    path: Arc::clone(self),
                    key,
                    from: SocketAddr::new(own, port),
                });
            }
        }
        Err(unavailable(format!("no port is free for {}", trip.to)))
    }

    fn forget_old(&self) {
        let mut over = self.over();
        while let Some((_, key)) = over.pop_front_if(|(since, _)| since.elapsed() > LINGER) {
            self.maps.probes.forget(key);
        }
    }

    fn over(&self) -> MutexGuard<'_, VecDeque<(Instant, ProbeKey)>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A probe that is known to the data path, until shortly after this is dropped.
#[derive(Debug)]
pub struct Pin {
    path: Arc<ServicePath>,
    key: ProbeKey,
    /// Where it comes from; the port of an echo request is its identifier.
    pub from: SocketAddr,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.path.over().push_back((Instant::now(), self.key));
    }
}

/// How the director gets to a real server.
struct Way {
    interface: u32,
    /// Who its packets are handed to.
    neighbour: IpAddr,
    /// The director's own address for it.
    source: Option<IpAddr>,
}

fn route(trip: &Trip, door: &Door, way: &Way) -> io::Result<ProbeRoute> {
    let mut route = ProbeRoute {
        neighbour: widen(way.neighbour),
        tunnel_source: [0; 16],
        tunnel_destination: [0; 16],
        interface: way.interface,
        probe_interface: door.interface,
        probe_mac: door.mac,
        neighbour_family: family(&way.neighbour),
        tunnel_family: 0,
    };
    if trip.method == Method::Tunnel {
        let source = way.source.ok_or_else(|| {
            unavailable(format!(
                "the director has no address on the way to {}",
                trip.server
            ))
        })?;
        route.tunnel_source = widen(source);
        route.tunnel_destination = widen(trip.server);
        route.tunnel_family = family(&trip.server);
    }
    Ok(route)
}

/// The director's address that the server answers to.
fn own_address(trip: &Trip, way: &Way) -> io::Result<IpAddr> {
    let fits = |address: &IpAddr| address.is_ipv4() == trip.to.is_ipv4();
    let own = trip.source.filter(fits).or(way.source.filter(fits));
    let own = own.ok_or_else(|| {
        unavailable(format!(
            "the director has no address of its own towards {}: name one with checksource",
            trip.server
        ))
    })?;
    if own == trip.to.ip() {
        return Err(unavailable(format!(
            "{own} is the director's own address towards {}, too: name another with checksource",
            trip.server
        )));
    }
    Ok(own)
}
