//! Applies replicas to the connection tables, as IPVS's backup does.

use lvs_common::abi::{Method, Server};
use lvs_common::connection::table::{
    self, Inserted, New, Place, Refused, Slot, Store, Survey, Ways,
};
use lvs_common::connection::{Client, Key, Kind, Protocol, Record, half_open, resume, template};
use lvs_common::family::Family;
use lvs_common::ftp;
use lvs_common::secrets::Secrets;
use lvs_dataplane::director::Recognized;
use lvs_dataplane::table::Table;
use zerocopy::byteorder::network_endian::U16;

use crate::discard::Discard;

/// Attempts at an entry that packets of the same connection insert and remove meanwhile.
const ATTEMPTS: u32 = 4;

/// A replica that is bound to a virtual service and real server of this director.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoundReplica<F: Family> {
    key: Key<F>,
    record: Record,
    server: Server,
    state: u8,
    half_open: bool,
    timeout: u32,
    /// The source that its server sees, if that is not the client's own.
    source: Option<(F::Address, U16)>,
}

/// An entry of the table with the key of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Existing {
    /// Its number from the start of the table, plus one.
    pub(crate) number: u32,
    /// It goes to another real server, or by another method.
    pub(crate) differs: bool,
    /// It is without a packet for longer than its timeout.
    pub(crate) expired: bool,
    /// Ticks since its last packet.
    pub(crate) idle: u32,
    /// Packets from its client.
    pub(crate) packets: u32,
}

impl Existing {
    /// Refuses what is over at the other director (`over`) in favour of what is under way here.
    pub(crate) fn outlives(self, over: bool) -> Option<Discard> {
        (self.differs && over && !self.expired).then_some(Discard::Inactive)
    }
}

impl<F: Family> BoundReplica<F> {
    /// A connection or template with this key; `timeout` is in ticks.
    pub(crate) fn new(key: Key<F>, state: u8, timeout: u32, recognized: &Recognized) -> Self {
        let protocol = Protocol::from_number(key.protocol);
        let half_open = match (Kind::from_raw(key.kind), protocol) {
            (Kind::Request, Some(protocol)) => half_open(protocol, state),
            _ => state == template::UNASSURED,
        };
        let (port, mut record) = (key.ports.destination, recognized.record);
        let mut server = recognized.server;
        if key.kind == Kind::Request as u8 && Method::from_raw(record.method) == Method::Nat {
            if ftp::is_control(&key) {
                record.method |= Record::OWN_TIMEOUT;
            }
            if ftp::is_data(&recognized.service, port) {
                record.method |= Record::TRANSLATED;
                server.port = ftp::server_port(&recognized.service, server.port, port);
            }
        }
        Self {
            key,
            record,
            server,
            state,
            half_open,
            timeout,
            source: None,
        }
    }

    /// The same connection whose server sees another source than the client's, if it is behind NAT here; port 0:
    /// it sees the client's own.
    pub(crate) fn with_source(mut self, address: F::Address, port: U16) -> Self {
        let nat = Method::from_raw(self.record.method) == Method::Nat;
        if nat && port.get() != 0 {
            self.record.method |= Record::TRANSLATED;
            self.source = Some((address, port));
        }
        self
    }

    /// Inserts it into the table or updates the entry with its key, unless that entry is a reason not to.
    /// Returns the entry, which belongs to the other director until a packet of its client arrives here.
    pub(crate) fn apply(
        &self,
        table: Table<'_, F>,
        secrets: impl Secrets,
        now: u32,
        refuse: impl Fn(Existing) -> Option<Discard>,
    ) -> Result<Inserted, Discard> {
        let inserted = self.upsert(table, secrets, now, refuse)?;
        table.disown(inserted.number);
        Ok(inserted)
    }

    fn upsert<T: Store<F>>(
        &self,
        table: T,
        secrets: impl Secrets,
        now: u32,
        refuse: impl Fn(Existing) -> Option<Discard>,
    ) -> Result<Inserted, Discard> {
        let place = Place::of(self.key.hash(secrets), table.sets());
        for _ in 0..ATTEMPTS {
            if let Some(slot) = table::find(table, &self.key, place) {
                if self.update(table, &slot, now, &refuse)? {
                    return Ok(Inserted {
                        number: slot.number,
                        tag: slot.tag,
                    });
                }
                continue;
            }
            match self.insert(table, place, secrets, now) {
                Ok(inserted) => return Ok(inserted),
                Err(Refused::Exists) => {}
                Err(Refused::Full) => return Err(Discard::NoRoom),
            }
        }
        // Whoever has the key of its replies is no connection with its own key.
        Err(Discard::SourceTaken)
    }

    /// Updates an entry. False: it is removed, and may be inserted anew.
    fn update<T: Store<F>>(
        &self,
        table: T,
        slot: &Slot<T::Set>,
        now: u32,
        refuse: impl Fn(Existing) -> Option<Discard>,
    ) -> Result<bool, Discard> {
        let set = slot.set;
        let before = set.record(slot.way);
        if !table::unchanged(slot) {
            return Ok(false);
        }
        // The limits of its client, its timeouts, its history and the ways it takes are this director's own.
        let own = Record::COUNTED
            | Record::PACED
            | Record::OWN_TIMEOUT
            | Record::REDISPATCHED
            | Record::ASYMMETRIC;
        let method = |record: Record| record.method & !own;
        let differs = !before.has_server_of(&self.record)
            || method(before) != method(self.record)
            || self
                .source
                .is_some_and(|source| sees_other::<F, T>(table, slot, source));
        let idle = lvs_common::abi::age(now, set.seen(slot.way));
        let expired = idle > set.timeout(slot.way);
        let existing = Existing {
            number: slot.number,
            differs,
            expired,
            idle,
            packets: set.packets(slot.way),
        };
        if let Some(why) = refuse(existing) {
            return Err(why);
        }
        if differs || expired {
            table::remove(table, slot);
            return Ok(false);
        }
        // Time first: in its new state it must not be expired for a moment.
        set.touch_reply(slot.way, now, self.timeout);
        Ok(resume(table, slot, self.state, self.half_open))
    }

    fn insert<T: Store<F>>(
        &self,
        table: T,
        place: Place,
        secrets: impl Secrets,
        now: u32,
    ) -> Result<Inserted, Refused> {
        let nat = self.key.kind == Kind::Request as u8
            && Method::from_raw(self.record.method) == Method::Nat;
        let mut new = New {
            key: self.key,
            record: self.record,
            // No packet of the client arrived here yet.
            client: Client::default(),
            partner: table::alone(now),
            state: self.state,
            half_open: self.half_open,
            pinned: nat,
            now,
            timeout: self.timeout,
            survey: Survey::default(),
        };
        if !nat {
            return table::insert(table, place, &mut new);
        }
        // Whether its packets come by the way that leads to the client is not known here: any may end it.
        new.record.method |= Record::ASYMMETRIC;
        let mut replies = new;
        replies.into_replies(&self.server);
        if let Some((address, port)) = self.source {
            replies.key.destination = address;
            replies.key.ports.destination = port;
        }
        let reply_place = Place::of(replies.key.hash(secrets), table.sets());
        let reply = table::insert(table, reply_place, &mut replies)?;
        new.partner = reply.number;
        let connection = table::insert(table, place, &mut new);
        table::complete_pair(table, &reply, connection, &self.half_open)
    }
}

/// True if the server of a translated connection sees another source than this one.
fn sees_other<F: Family, T: Store<F>>(
    table: T,
    slot: &Slot<T::Set>,
    (address, port): (F::Address, U16),
) -> bool {
    let reply = table::by_number::<F, T>(table, slot.set.partner(slot.way));
    reply.is_none_or(|reply| {
        let key = reply.set.key(reply.way);
        key.destination != address || key.ports.destination != port
    })
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
