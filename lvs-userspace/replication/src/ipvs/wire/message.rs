//! Messages: a header, and the entries after it.

use zerocopy::FromBytes as _;
use zerocopy::byteorder::network_endian::U16;

use super::entry::{EntryRead, SyncEntry};
use super::{version0, version1};
use crate::discard::Discard;

/// A message whose header was read.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The group of directors that it is for.
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

    /// Its entries. One that is malformed by itself is skipped; one whose end is unknown is the last.
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

/// `rest` if the header gave the datagram's length.
fn sized<'a>(datagram: &[u8], length: U16, rest: &'a [u8]) -> Result<&'a [u8], Discard> {
    if usize::from(length.get()) == datagram.len() {
        Ok(rest)
    } else {
        Err(Discard::MessageLength)
    }
}

/// The entries of a message, one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    left: u8,
    rest: &'a [u8],
    read: fn(&'a [u8]) -> EntryRead<'a>,
}

impl Iterator for Entries<'_> {
    type Item = Result<SyncEntry, Discard>;

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
