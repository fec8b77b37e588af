//! Entries are packed into messages.

use zerocopy::IntoBytes as _;

use super::entry::SyncEntry;
use super::{version0, version1};

/// Version of the messages that a master sends (`sync_version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4 only, without timeouts, marks and data of persistence engines.
    Zero,
    /// That of kernels since 2.6.39.
    One,
}

impl Version {
    const fn header(self) -> usize {
        match self {
            Self::Zero => size_of::<version0::Header>(),
            Self::One => size_of::<version1::Header>(),
        }
    }
}

/// Packs entries into messages of at most a length.
#[derive(Debug)]
pub struct Packer {
    version: Version,
    syncid: u8,
    max_length: usize,
    message: Vec<u8>,
    count: u8,
}

/// Nothing: messages of this version have no place for the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut;

impl Packer {
    /// For messages of a group of directors. `max_length` is in bytes, without the headers of IP and
    /// UDP; an entry that does not fit travels alone in a longer message.
    pub const fn new(version: Version, syncid: u8, max_length: u16) -> Self {
        Self {
            version,
            syncid,
            max_length: max_length as usize,
            message: Vec::new(),
            count: 0,
        }
    }

    /// Adds an entry; returns the message before if there is no room in it for one more.
    ///
    /// # Errors
    ///
    /// Messages of this version have no place for it.
    pub fn push(&mut self, synced: &SyncEntry) -> Result<Option<Vec<u8>>, LeftOut> {
        let entry = match self.version {
            Version::Zero => version0::write(synced).ok_or(LeftOut)?,
            Version::One => version1::write(synced),
        };
        let header = self.version.header();
        let place = |message: &[u8]| {
            message
                .len()
                .max(header)
                .next_multiple_of(version1::ALIGNMENT)
        };
        let full = self.count == u8::MAX || place(&self.message) + entry.len() > self.max_length;
        let before = if full { self.flush() } else { None };
        self.message.resize(place(&self.message), 0);
        self.message.extend_from_slice(&entry);
        self.count += 1;
        Ok(before)
    }

    /// The message so far; `None` if there is nothing in it.
    pub fn flush(&mut self) -> Option<Vec<u8>> {
        if self.count == 0 {
            return None;
        }
        let mut message = std::mem::take(&mut self.message);
        let count = std::mem::take(&mut self.count);
        // At most 65,507 bytes, or one entry.
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX).into();
        let syncid = self.syncid;
        let (version0, version1);
        let header = match self.version {
            Version::Zero => {
                version0 = version0::Header {
                    count,
                    syncid,
                    length,
                };
                version0.as_bytes()
            }
            Version::One => {
                version1 = version1::Header::new(syncid, length, count);
                version1.as_bytes()
            }
        };
        if let Some(start) = message.get_mut(..header.len()) {
            start.copy_from_slice(header);
        }
        Some(message)
    }
}
