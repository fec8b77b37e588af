//! The network namespace of probes on the service path. Its stack has no addresses: neither those of
//! virtual services, which the director often has itself, nor those that probes come from.
//!
//! A namespace belongs to a thread, and sockets to the namespace of the thread that made them. So one
//! thread runs in there and makes them. With it the namespace ends, and all that is in it: a daemon
//! that is killed leaves nothing.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, oneshot};

use super::veth::Veth;
use crate::neighbour::{Route, look_up};
use crate::netlink::Requests;

/// A handle of the thread in the namespace.
#[derive(Debug)]
pub struct Namespace(mpsc::UnboundedSender<Request>);

/// A request to the thread.
#[derive(Debug)]
enum Request {
    Veth(oneshot::Sender<io::Result<Veth>>),
    Route(IpAddr, oneshot::Sender<io::Result<Route>>),
    Socket(
        (Domain, Type, Protocol),
        oneshot::Sender<io::Result<Socket>>,
    ),
}

impl Namespace {
    /// Creates a namespace, and a thread in it. Needs privileges that the daemon gives up afterwards: what
    /// is made in it later does not.
    pub fn spawn() -> io::Result<Self> {
        let (sender, requests) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        thread::Builder::new()
            .name("service path".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let entered = runtime.and_then(|runtime| {
                    // For the sockets.
                    let guard = runtime.enter();
                    let thread = NetnsThread::enter()?;
                    drop(guard);
                    Ok((runtime, thread))
                });
                match entered {
                    Ok((runtime, thread)) => {
                        drop(ready.send(Ok(())));
                        runtime.block_on(thread.serve(requests));
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self(sender))
    }

    /// Creates the veth pair, where there is none.
    pub(super) async fn create_veth(&self) -> io::Result<Veth> {
        self.send(Request::Veth).await
    }

    /// Looks up the director's own route to an address.
    pub(super) async fn route(&self, address: IpAddr) -> io::Result<Route> {
        self.send(|answer| Request::Route(address, answer)).await
    }

    /// Opens a socket in the namespace.
    pub(super) async fn socket(
        &self,
        domain: Domain,
        kind: Type,
        protocol: Protocol,
    ) -> io::Result<Socket> {
        self.send(|answer| Request::Socket((domain, kind, protocol), answer))
            .await
    }

    async fn send<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Request,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::other("the thread of the service path has ended");
        self.0.send(request(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The thread in the namespace.
struct NetnsThread {
    /// The namespace of the director.
    host: File,
    outside: Requests,
    inside: Requests,
}

impl NetnsThread {
    fn enter() -> io::Result<Self> {
        let host = File::open("/proc/thread-self/ns/net")?;
        let outside = Requests::open().map_err(io::Error::other)?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let inside = Requests::open().map_err(io::Error::other)?;
        // The daemon's other threads begin after it gave its privileges up.
        lvs_process::privileges::reduce(false).map_err(io::Error::other)?;
        Ok(Self {
            host,
            outside,
            inside,
        })
    }

    async fn serve(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        // The sender of a request may have given up meanwhile.
        while let Some(request) = requests.recv().await {
            match request {
                Request::Veth(answer) => drop(answer.send(self.create_veth().await)),
                Request::Route(address, answer) => drop(answer.send(self.route(address).await)),
                Request::Socket((domain, kind, protocol), answer) => {
                    let socket = Socket::new(domain, kind.nonblocking(), Some(protocol));
                    drop(answer.send(socket));
                }
            }
        }
    }

    async fn create_veth(&mut self) -> io::Result<Veth> {
        Veth::create(&mut self.inside, &mut self.outside, self.host.as_fd()).await
    }

    async fn route(&mut self, address: IpAddr) -> io::Result<Route> {
        let routes = look_up(&mut self.outside, &[address]).await;
        let route = routes.map_err(io::Error::other)?.pop();
        route.ok_or_else(|| io::Error::other("the kernel does not tell of a route"))
    }
}
