//! Connections of clients on the director itself, see [`crate::local_clients`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::service::ServiceKey;

/// Key of [`super::LOCAL_FLOWS`] and [`super::LOCAL_PEERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LocalKey {
    /// The kernel's cookie of the socket; 0: all sockets (persistence).
    pub socket: u64,
    /// The address at the other end, as the socket sees it or as it is.
    pub peer: ServiceKey,
    /// Always zero.
    pub padding: u32,
}

/// Real server of a socket's datagrams, or of all local clients of a persistent service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LocalFlow {
    /// Server index.
    pub server: u32,
    /// Clock tick of the last use.
    pub seen: u32,
}

const _: () = {
    assert!(size_of::<LocalKey>() == 32);
    assert!(size_of::<LocalFlow>() == 8);
};
