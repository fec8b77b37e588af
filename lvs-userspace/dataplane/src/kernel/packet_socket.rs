//! Packet sockets: whole Ethernet frames of one kind on one interface.

use std::io;
use std::mem::size_of;

use libc::{c_int, sockaddr_ll};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

/// A packet socket (packet(7)).
#[derive(Debug)]
pub struct PacketSocket(AsyncFd<Socket>);

impl PacketSocket {
    /// Sends and receives frames of an ethertype on the interface of that index; of those it receives, the
    /// ones that the filter lets through (all, if it is empty).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open(interface: u32, ethertype: u16, filter: &[SockFilter]) -> io::Result<Self> {
        // Without a protocol nothing is received until the socket is bound.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        if !filter.is_empty() {
            socket.attach_filter(filter)?;
        }
        socket.bind(&address(interface, ethertype)?)?;
        // SAFETY: the socket owns its descriptor, always has the same, and closes it when it is dropped.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self(socket))
    }

    /// Sends a frame, or fails if it would have to wait.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.get_ref().send(frame).map(drop)
    }

    /// Receives a frame, cut to the room there is; its length.
    pub async fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = |socket: &AsyncFd<Socket>| io::Read::read(&mut socket.get_ref(), frame);
            if let Ok(outcome) = ready.try_io(read) {
                return outcome;
            }
        }
    }
}

fn address(interface: u32, ethertype: u16) -> io::Result<SockAddr> {
    let interface = c_int::try_from(interface)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let init = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        let address = storage.cast::<sockaddr_ll>();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "twenty bytes, a small number"
        )]
        // SAFETY: the storage is zeroed, larger than a `sockaddr_ll`, aligned for any kind of address, and ours
        // alone here.
        unsafe {
            (*address).sll_family = libc::AF_PACKET as libc::sa_family_t;
            (*address).sll_protocol = ethertype.to_be();
            (*address).sll_ifindex = interface;
            *length = size_of::<sockaddr_ll>() as libc::socklen_t;
        }
        Ok(())
    };
    // SAFETY: `init` makes it an address of the family it names, of that family's length.
    let ((), address) = unsafe { SockAddr::try_init(init) }?;
    Ok(address)
}
