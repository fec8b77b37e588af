//! What frames hold: a sequence of items, each a byte that says what it is and then fields of fixed
//! length in network order.
//!
//! Connections are numbered as the ways of their director's tables are, so that whatever happens to one
//! later is told in a few bytes. Services and real servers are named once by what identifies them
//! everywhere, and from then on by their director's number.

use lvs_common::abi::ServiceKey;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::refusal::Refusal;

/// What a director calls one of its real servers, and which one that is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct ServerName {
    /// Its number there.
    pub(super) number: U16,
    /// Of the virtual service: address (or mark), port, protocol and family, see [`ServiceKey`].
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
    pub(super) fn new(
        number: u16,
        service: ServiceKey,
        address: [u8; 16],
        port: U16,
        family: u8,
    ) -> Self {
        Self {
            number: number.into(),
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
pub(super) struct Told<A> {
    /// Its number there, see [`lvs_common::abi::event`].
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
    /// The real server, by its number there.
    pub(super) server: U16,
    /// State.
    pub(super) state: u8,
    /// Not 0: its client was heard there more than once, see [`super::hold::adopt`].
    pub(super) heard: u8,
}

/// A connection that had packets.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Touched {
    /// Its number there.
    pub(super) id: U32,
    /// Ticks since its last packet.
    pub(super) idle: U32,
}

/// A scan of the teller's tables that begins or is complete.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Scan {
    /// Counted from 1 in each session.
    pub(super) number: U32,
    /// Connections that were told and are there, at the moment.
    pub(super) connections: U32,
}

/// What the receiver has taken so far.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Taken {
    /// The number of the last frame, counted from 0.
    pub(super) frame: U64,
    /// The last scan that was complete; 0: none yet.
    pub(super) scan: U32,
}

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A real server is called by a number from now on.
    Server(ServerName),
    /// A connection or template as it is now, whatever had its number before.
    Told4(Told<[u8; 4]>),
    /// Likewise.
    Told6(Told<[u8; 16]>),
    /// A connection had packets that did not change its state.
    Touched(Touched),
    /// What had the number is gone.
    Gone(u32),
    /// What has the number is not the teller's any more: it gave way to what it was told.
    Yielded(u32),
    /// A scan begins.
    Begun(Scan),
    /// Everything that was there when the scan began has been told.
    Complete(Scan),
    /// A [`super::Message`], as JSON.
    Message(&'a [u8]),
    /// An answer: so far everything is taken.
    Taken(Taken),
    /// An answer: what has this number is not known here, and has to be told whole.
    Missing(u32),
}

const SERVER: u8 = 1;
const TOLD4: u8 = 2;
const TOLD6: u8 = 3;
const TOUCHED: u8 = 4;
const GONE: u8 = 5;
const BEGUN: u8 = 6;
const COMPLETE: u8 = 7;
const MESSAGE: u8 = 8;
const TAKEN: u8 = 9;
const MISSING: u8 = 10;
const YIELDED: u8 = 11;

/// Bytes of the longest item but a message.
pub(super) const LONGEST: usize = 1 + size_of::<Told<[u8; 16]>>();

impl Item<'_> {
    /// Appends it.
    pub(super) fn write(&self, frame: &mut Vec<u8>) {
        let mut put = |kind: u8, fields: &[u8]| {
            frame.push(kind);
            frame.extend_from_slice(fields);
        };
        match self {
            Self::Server(name) => put(SERVER, name.as_bytes()),
            Self::Told4(told) => put(TOLD4, told.as_bytes()),
            Self::Told6(told) => put(TOLD6, told.as_bytes()),
            Self::Touched(touched) => put(TOUCHED, touched.as_bytes()),
            Self::Gone(id) => put(GONE, &id.to_be_bytes()),
            Self::Yielded(id) => put(YIELDED, &id.to_be_bytes()),
            Self::Begun(scan) => put(BEGUN, scan.as_bytes()),
            Self::Complete(scan) => put(COMPLETE, scan.as_bytes()),
            Self::Message(text) => {
                // Whoever makes messages keeps them shorter than a frame.
                let length = u16::try_from(text.len()).unwrap_or(0);
                put(MESSAGE, &length.to_be_bytes());
                frame.extend_from_slice(text.get(..length.into()).unwrap_or_default());
            }
            Self::Taken(taken) => put(TAKEN, taken.as_bytes()),
            Self::Missing(id) => put(MISSING, &id.to_be_bytes()),
        }
    }
}

/// The items of a frame; ends with the first that makes no sense.
pub(super) struct Items<'a>(pub(super) &'a [u8]);

impl<'a> Items<'a> {
    fn fields<T: FromBytes>(&mut self) -> Result<T, Refusal> {
        let (fields, rest) = T::read_from_prefix(self.0).map_err(|_| Refusal::Item)?;
        self.0 = rest;
        Ok(fields)
    }

    fn item(&mut self, kind: u8) -> Result<Item<'a>, Refusal> {
        Ok(match kind {
            SERVER => Item::Server(self.fields()?),
            TOLD4 => Item::Told4(self.fields()?),
            TOLD6 => Item::Told6(self.fields()?),
            TOUCHED => Item::Touched(self.fields()?),
            GONE => Item::Gone(self.fields::<U32>()?.get()),
            YIELDED => Item::Yielded(self.fields::<U32>()?.get()),
            BEGUN => Item::Begun(self.fields()?),
            COMPLETE => Item::Complete(self.fields()?),
            MESSAGE => {
                let length = usize::from(self.fields::<U16>()?.get());
                let (text, rest) = self.0.split_at_checked(length).ok_or(Refusal::Item)?;
                self.0 = rest;
                Item::Message(text)
            }
            TAKEN => Item::Taken(self.fields()?),
            MISSING => Item::Missing(self.fields::<U32>()?.get()),
            _ => return Err(Refusal::Item),
        })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let item = self.item(kind);
        if item.is_err() {
            self.0 = &[];
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told<A>(source: A, destination: A) -> Told<A> {
        Told {
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
            heard: 1,
        }
    }

    #[test]
    fn items_are_read_as_they_were_written() {
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
        let items = [
            Item::Server(ServerName::new(3, service, [10; 16], 8080.into(), 4)),
            Item::Told4(told([1; 4], [2; 4])),
            Item::Told6(told([1; 16], [2; 16])),
            Item::Touched(Touched {
                id: 7.into(),
                idle: 5.into(),
            }),
            Item::Gone(u32::MAX),
            Item::Yielded(8),
            Item::Begun(scan),
            Item::Complete(scan),
            Item::Message(b"{}"),
            Item::Taken(Taken {
                frame: u64::MAX.into(),
                scan: 1.into(),
            }),
            Item::Missing(9),
        ];
        let mut frame = Vec::new();
        for item in &items {
            let before = frame.len();
            item.write(&mut frame);
            assert!(frame.len() - before <= LONGEST, "{item:?}");
        }
        let read: Vec<_> = Items(&frame).map(Result::unwrap).collect();
        assert_eq!(read, items);
        let Item::Server(name) = read[0] else {
            panic!("{read:?}")
        };
        assert_eq!(name.service(), service);
        for cut in 1..frame.len() {
            let read: Vec<_> = Items(&frame[..cut]).collect();
            assert!(read.iter().filter(|item| item.is_err()).count() <= 1);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_items_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let mut written = Vec::new();
            for item in Items(&bytes).flatten() {
                item.write(&mut written);
            }
            prop_assert!(bytes.starts_with(&written));
        }
    }
}
