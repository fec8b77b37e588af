//! The synchronization protocol of Linux' IPVS on the wire: version 1, and on receipt also version 0.
//!
//! A message is one datagram: a header and up to 255 entries, each a connection or a template. Nothing
//! acknowledges, encrypts or authenticates it, so whoever can reach the port can send anything: every
//! length here is checked, and what is wrong is told as a [`Discard`].

mod flags;
mod version0;
mod version1;

use std::net::SocketAddr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Discard;

pub use flags::Flags;
pub use version1::Packer;

/// A connection or template as a message carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// IP protocol number; 0 in templates of services by firewall mark.
    pub protocol: u8,
    /// Forwarding method, and what kind of entry it is.
    pub flags: Flags,
    /// State, as its protocol numbers it.
    pub state: u16,
    /// The client; of a template its network, and port 0.
    pub client: SocketAddr,
    /// What it asked for.
    pub virtual_address: SocketAddr,
    /// The real server, of the same family as the others.
    pub server: SocketAddr,
    /// Firewall mark of its service; 0: none.
    pub mark: u32,
    /// Seconds without a packet after which it is forgotten, counted from now; 0: those of its state.
    pub timeout: u32,
    /// How much longer its packets have become (the FTP helper changes payload).
    pub sequences: Option<Sequences>,
    /// What a persistence engine knows it by.
    pub engine: Option<Engine>,
}

/// What a persistence engine knows a connection by: lengths fit their option, see [`Engine::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    name: Vec<u8>,
    data: Vec<u8>,
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
}

/// By how much the numbers of one direction of a TCP connection are shifted.
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

/// Both directions of a TCP connection.
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

/// A message whose header was read.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Which group of directors it is for.
    pub syncid: u8,
    entries: Entries<'a>,
}

impl<'a> Message<'a> {
    /// Reads the header of a datagram.
    ///
    /// # Errors
    ///
    /// The datagram is shorter than a header, or not as long as its header says.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Discard> {
        // `struct ip_vs_sync_mesg_v0` and `struct ip_vs_sync_mesg` differ in what their first byte is.
        if let Some((header, rest)) = version1::Header::read(datagram) {
            return Ok(Self {
                syncid: header.syncid,
                entries: Entries {
                    left: header.count,
                    rest: sized(datagram, header.length, rest)?,
                    read: version1::entry,
                },
            });
        }
        let (header, rest) =
            version0::Header::read_from_prefix(datagram).map_err(|_| Discard::ShortMessage)?;
        Ok(Self {
            syncid: header.syncid,
            entries: Entries {
                left: header.count,
                rest: sized(datagram, header.length, rest)?,
                read: version0::entry,
            },
        })
    }

    /// Its entries. One that is wrong by itself is skipped; one whose end is unknown is the last.
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

/// `rest` if the header told the datagram's length.
fn sized<'a>(datagram: &[u8], length: U16, rest: &'a [u8]) -> Result<&'a [u8], Discard> {
    if usize::from(length.get()) == datagram.len() {
        Ok(rest)
    } else {
        Err(Discard::MessageLength)
    }
}

/// What is read from the start of an entry: it, and where the next one starts, if that is known.
type Read<'a> = (Result<Synced, Discard>, Option<&'a [u8]>);

/// The entries of a message, one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    left: u8,
    rest: &'a [u8],
    read: fn(&'a [u8]) -> Read<'a>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Synced, Discard>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (entry, rest) = (self.read)(self.rest);
        match rest {
            Some(rest) => self.rest = rest,
            None => self.left = 0,
        }
        Some(entry)
    }
}

#[cfg(test)]
pub(super) mod tests;
