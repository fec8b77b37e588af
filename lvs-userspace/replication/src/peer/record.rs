//! FrameRecords, of which frames are sequences: a byte for the kind of each, and then fields of fixed length in
//! network order.
//!
//! Entries are numbered as in their director's tables, so that whatever happens to one later takes a few
//! bytes. Services and real servers are named once by what identifies them everywhere, and from then on by
//! their director's number.

use lvs_common::abi::ServiceKey;
use lvs_common::connection::EntryId;
use lvs_common::sip::MAX_CALL_ID;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::refusal::Refusal;

/// A director's number of one of its real servers, and the real server.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct ServerName {
    /// Its number there, the lower half.
    pub(super) number: U16,
    /// Virtual service: address (or mark), port, protocol and family, see [`ServiceKey`].
    service: [u8; 20],
    /// Its own address; an IPv4 address lies in the first four bytes.
    pub(super) address: [u8; 16],
    /// Its own port; 0: the packet's.
    pub(super) port: U16,
    /// 4 or 6.
    pub(super) family: u8,
}

impl ServerName {
    /// A real server of a virtual service.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(super) const fn new(
        number: u32,
        service: ServiceKey,
        address: [u8; 16],
        port: U16,
        family: u8,
    ) -> Self {
        Self {
            number: U16::new(number as u16),
            service: zerocopy::transmute!(service),
            address,
            port,
            family,
        }
    }

    /// The virtual service.
    pub(super) fn service(&self) -> ServiceKey {
        zerocopy::transmute!(self.service)
    }
}

/// A connection or template, as its director sees it. `A` is an address: 4 or 16 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct EntryRecord<A> {
    /// Bits of its [`EntryId`] there.
    pub(super) id: U32,
    /// Ticks since its last packet.
    pub(super) idle: U32,
    /// Ticks without a packet after which it is expired.
    pub(super) timeout: U32,
    /// Key: the client, or its network.
    pub(super) source: A,
    /// Key: the virtual address.
    pub(super) destination: A,
    /// Key: the client's port.
    pub(super) source_port: U16,
    /// Key: the virtual port.
    pub(super) destination_port: U16,
    /// Key: IP protocol number.
    pub(super) protocol: u8,
    /// Key: [`lvs_common::connection::Kind`].
    pub(super) kind: u8,
    /// The real server, by the lower half of its number there.
    pub(super) server: U16,
    /// State.
    pub(super) state: u8,
    /// The port that its real server sees as the source, if that is translated; 0: it sees the client's own.
    pub(super) translated_port: U16,
    /// The address that goes with it.
    pub(super) translated_source: A,
    /// Not 0: more than one packet of its client arrived there, see [`super::ownership::adopt`].
    pub(super) several_packets: u8,
}

impl<A> EntryRecord<A> {
    /// Its name there.
    pub(super) fn id(&self) -> Result<EntryId, Refusal> {
        id(self.id)
    }
}

/// A scan of the sender's tables that begins or is complete.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Scan {
    /// Counted from 1 in each session.
    pub(super) number: U32,
    /// Entries that were sent and exist, at the moment.
    pub(super) connections: U32,
}

/// Progress of the receiver.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Acknowledgement {
    /// The number of the last frame, counted from 0.
    pub(super) frame: U64,
    /// The last scan that was complete; 0: none yet.
    pub(super) scan: U32,
}

/// Fields of [`FrameRecord::Refresh`].
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Refresh {
    id: U32,
    idle: U32,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameRecord<'a> {
    /// A real server has a number from now on.
    Server(ServerName),
    /// An IPv4 connection or template as it is now, whatever had its number before.
    Entry4(EntryRecord<[u8; 4]>),
    /// An IPv6 connection or template.
    Entry6(EntryRecord<[u8; 16]>),
    /// The upper half of the numbers of real servers in the rest of the frame; at its beginning it is 0.
    UpperHalf(u16),
    /// The Call-ID of the template that follows, which is of its first client's network.
    CallId(&'a [u8]),
    /// An entry had packets that did not change its state.
    Refresh {
        /// Its name there.
        id: EntryId,
        /// Ticks since its last packet.
        idle: u32,
    },
    /// An entry is removed.
    Removed(EntryId),
    /// An entry is not the sender's any more: it yielded to a replica.
    Yielded(EntryId),
    /// A scan begins.
    ScanBegun(Scan),
    /// All entries that existed when the scan began were sent.
    ScanComplete(Scan),
    /// A [`super::Message`], as JSON.
    Message(&'a [u8]),
    /// An answer: everything so far is applied.
    Acknowledged(Acknowledgement),
    /// An answer: an entry is not known here, and has to be sent whole.
    Missing(EntryId),
}

const SERVER: u8 = 1;
const ENTRY4: u8 = 2;
const ENTRY6: u8 = 3;
const REFRESH: u8 = 4;
const REMOVED: u8 = 5;
const SCAN_BEGUN: u8 = 6;
const SCAN_COMPLETE: u8 = 7;
const MESSAGE: u8 = 8;
const ACKNOWLEDGED: u8 = 9;
const MISSING: u8 = 10;
const YIELDED: u8 = 11;
const CALL_ID: u8 = 12;
const UPPER_HALF: u8 = 13;

/// The version of the protocol from which on templates of calls are sent.
pub(super) const CALL_IDS_SINCE: u16 = 5;
/// The version from which on numbers of real servers may have more than 16 bits.
pub(super) const LONG_NUMBERS_SINCE: u16 = 6;

/// Bytes of the longest record but a message.
pub(super) const LONGEST: usize = 2 + MAX_CALL_ID;

const _: () = assert!(LONGEST > size_of::<EntryRecord<[u8; 16]>>());

impl FrameRecord<'_> {
    /// Appends it to a frame.
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        let mut put = |kind: u8, fields: &[u8]| {
            frame.push(kind);
            frame.extend_from_slice(fields);
        };
        match self {
            Self::Server(name) => put(SERVER, name.as_bytes()),
            Self::Entry4(entry) => put(ENTRY4, entry.as_bytes()),
            Self::Entry6(entry) => put(ENTRY6, entry.as_bytes()),
            Self::UpperHalf(bits) => put(UPPER_HALF, &bits.to_be_bytes()),
            Self::CallId(text) => {
                // None is longer.
                let length = u8::try_from(text.len()).unwrap_or(0);
                put(CALL_ID, &[length]);
                frame.extend_from_slice(text.get(..length.into()).unwrap_or_default());
            }
            Self::Refresh { id, idle } => {
                let (id, idle) = (id.bits().into(), (*idle).into());
                put(REFRESH, Refresh { id, idle }.as_bytes());
            }
            Self::Removed(id) => put(REMOVED, &id.bits().to_be_bytes()),
            Self::Yielded(id) => put(YIELDED, &id.bits().to_be_bytes()),
            Self::ScanBegun(scan) => put(SCAN_BEGUN, scan.as_bytes()),
            Self::ScanComplete(scan) => put(SCAN_COMPLETE, scan.as_bytes()),
            Self::Message(text) => {
                // Whoever makes messages keeps them shorter than a frame.
                let length = u16::try_from(text.len()).unwrap_or(0);
                put(MESSAGE, &length.to_be_bytes());
                frame.extend_from_slice(text.get(..length.into()).unwrap_or_default());
            }
            Self::Acknowledged(all) => put(ACKNOWLEDGED, all.as_bytes()),
            Self::Missing(id) => put(MISSING, &id.bits().to_be_bytes()),
        }
    }
}

/// The records of a frame; ends with the first that is malformed.
pub(super) struct FrameRecords<'a>(pub(super) &'a [u8]);

impl<'a> FrameRecords<'a> {
    fn fields<T: FromBytes>(&mut self) -> Result<T, Refusal> {
        let (fields, rest) = T::read_from_prefix(self.0).map_err(|_| Refusal::Malformed)?;
        self.0 = rest;
        Ok(fields)
    }

    fn record(&mut self, kind: u8) -> Result<FrameRecord<'a>, Refusal> {
        Ok(match kind {
            SERVER => FrameRecord::Server(self.fields()?),
            ENTRY4 => FrameRecord::Entry4(self.fields()?),
            ENTRY6 => FrameRecord::Entry6(self.fields()?),
            REFRESH => {
                let fields: Refresh = self.fields()?;
                FrameRecord::Refresh {
                    id: id(fields.id)?,
                    idle: fields.idle.get(),
                }
            }
            UPPER_HALF => FrameRecord::UpperHalf(self.fields::<U16>()?.get()),
            CALL_ID => {
                let [length] = self.fields::<[u8; 1]>()?;
                let (text, rest) = self
                    .0
                    .split_at_checked(length.into())
                    .ok_or(Refusal::Malformed)?;
                self.0 = rest;
                FrameRecord::CallId(text)
            }
            REMOVED => FrameRecord::Removed(id(self.fields()?)?),
            YIELDED => FrameRecord::Yielded(id(self.fields()?)?),
            SCAN_BEGUN => FrameRecord::ScanBegun(self.fields()?),
            SCAN_COMPLETE => FrameRecord::ScanComplete(self.fields()?),
            MESSAGE => {
                let length = usize::from(self.fields::<U16>()?.get());
                let (text, rest) = self.0.split_at_checked(length).ok_or(Refusal::Malformed)?;
                self.0 = rest;
                FrameRecord::Message(text)
            }
            ACKNOWLEDGED => FrameRecord::Acknowledged(self.fields()?),
            MISSING => FrameRecord::Missing(id(self.fields()?)?),
            _ => return Err(Refusal::Malformed),
        })
    }
}

impl<'a> Iterator for FrameRecords<'a> {
    type Item = Result<FrameRecord<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let record = self.record(kind);
        if record.is_err() {
            self.0 = &[];
        }
        Some(record)
    }
}

fn id(bits: U32) -> Result<EntryId, Refusal> {
    EntryId::from_bits(bits.get()).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use lvs_common::family::{V4, V6};
    use proptest::prelude::*;

    use super::*;

    fn entry<A: Copy>(source: A, destination: A) -> EntryRecord<A> {
        EntryRecord {
            id: 7.into(),
            idle: 1_000.into(),
            timeout: 900_000.into(),
            source,
            destination,
            source_port: 40_000.into(),
            destination_port: 80.into(),
            protocol: 6,
            kind: 0,
            server: 3.into(),
            state: 1,
            translated_port: 1024.into(),
            translated_source: destination,
            several_packets: 1,
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let service = ServiceKey {
            address: [1; 16],
            port: 80.into(),
            protocol: 6,
            family: 4,
        };
        let scan = Scan {
            number: 1.into(),
            connections: 2.into(),
        };
        let records = [
            FrameRecord::Server(ServerName::new(3, service, [10; 16], 8080.into(), 4)),
            FrameRecord::Entry4(entry([1; 4], [2; 4])),
            FrameRecord::Entry6(entry([1; 16], [2; 16])),
            FrameRecord::CallId(&[b'x'; MAX_CALL_ID]),
            FrameRecord::CallId(b"x"),
            FrameRecord::UpperHalf(3),
            FrameRecord::Refresh {
                id: EntryId::new::<V4>(7),
                idle: 5,
            },
            FrameRecord::Removed(EntryId::new::<V6>(u32::MAX)),
            FrameRecord::Yielded(EntryId::new::<V4>(8)),
            FrameRecord::ScanBegun(scan),
            FrameRecord::ScanComplete(scan),
            FrameRecord::Message(b"{}"),
            FrameRecord::Acknowledged(Acknowledgement {
                frame: u64::MAX.into(),
                scan: 1.into(),
            }),
            FrameRecord::Missing(EntryId::new::<V4>(9)),
        ];
        let mut frame = Vec::new();
        for record in &records {
            let before = frame.len();
            record.write(&mut frame);
            assert!(frame.len() - before <= LONGEST, "{record:?}");
        }
        let read: Vec<_> = FrameRecords(&frame).map(Result::unwrap).collect();
        assert_eq!(read, records);
        let FrameRecord::Server(name) = read[0] else {
            panic!("{read:?}")
        };
        assert_eq!(name.service(), service);
        for cut in 1..frame.len() {
            let read: Vec<_> = FrameRecords(&frame[..cut]).collect();
            assert!(read.iter().filter(|record| record.is_err()).count() <= 1);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let mut written = Vec::new();
            for record in FrameRecords(&bytes).flatten() {
                record.write(&mut written);
            }
            prop_assert!(bytes.starts_with(&written));
        }
    }
}
