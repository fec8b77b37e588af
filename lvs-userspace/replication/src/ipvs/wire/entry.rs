//! An entry of a sync message.

use std::net::SocketAddr;

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::flags::Flags;
use crate::discard::Discard;

/// A connection or template as a message carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncEntry {
    /// IP protocol number; 0 in templates of services by firewall mark.
    pub protocol: u8,
    /// Forwarding method, and what kind of entry it is.
    pub flags: Flags,
    /// State, as its protocol numbers it.
    pub state: u16,
    /// The client; of a template its network, and port 0.
    pub client: SocketAddr,
    /// Address and port that the client asked for.
    pub virtual_address: SocketAddr,
    /// The real server, of the same family as the others.
    pub server: SocketAddr,
    /// Firewall mark of its service; 0: none.
    pub mark: u32,
    /// Seconds without a packet after which it is forgotten, counted from now; 0: those of its state.
    pub timeout: u32,
    /// Shifts of its sequence numbers (the FTP helper changes payload).
    pub sequences: Option<Sequences>,
    /// Its name with a persistence engine.
    pub engine: Option<Engine>,
}

/// Name of a connection with a persistence engine: lengths fit their option, see [`Engine::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    pub(super) name: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Engine {
    /// `None` unless the name has 1 to 16 bytes and the data 1 to 255.
    pub fn new(name: &[u8], data: &[u8]) -> Option<Self> {
        let fits = (1..=16).contains(&name.len()) && (1..=255).contains(&data.len());
        fits.then(|| Self {
            name: name.to_vec(),
            data: data.to_vec(),
        })
    }

    /// The engine's name.
    pub(in crate::ipvs) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The engine's data of the template; of `sip` the Call-ID.
    pub(in crate::ipvs) fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Shift of the sequence numbers of one direction of a TCP connection.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Sequence {
    /// Number from which on it is shifted by `delta`, before by `previous_delta`.
    pub initial: U32,
    /// See `initial`.
    pub delta: U32,
    /// See `initial`.
    pub previous_delta: U32,
}

/// Shifts of both directions of a TCP connection.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Sequences {
    /// From the client.
    pub input: Sequence,
    /// From the real server.
    pub output: Sequence,
}

/// An entry that was read, and the bytes after it, if its end is known.
pub(super) type EntryRead<'a> = (Result<SyncEntry, Discard>, Option<&'a [u8]>);
