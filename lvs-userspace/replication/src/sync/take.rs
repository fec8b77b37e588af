//! Takes connections of another director into the own table, as IPVS's backup does.

use lvs_common::abi::{Method, Server};
use lvs_common::connection::table::{
    self, Inserted, New, Place, Refused, Slot, Store, Survey, Ways,
};
use lvs_common::connection::{Client, Key, Kind, Ports, Protocol, Record, half_open, resume};
use lvs_common::family::Family;
use lvs_common::persistence;
use lvs_common::secrets::Secrets;

use super::Discard;
use super::check::Checked;
use lvs_dataplane::director::Recognized;

/// Times an entry is tried again when packets of the same connection make and remove it meanwhile.
const ATTEMPTS: u32 = 4;

/// A template's client is told as its network already: all bits count.
const WHOLE: u8 = 128;

/// What is to be entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<F: Family> {
    key: Key<F>,
    record: Record,
    server: Server,
    state: u8,
    half_open: bool,
    timeout: u32,
    inactive: bool,
}

/// An entry that the table holds already for what is to be entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    /// Its number from the start of the table, plus one.
    pub(crate) number: u32,
    /// It goes to another real server.
    pub(crate) differs: bool,
    /// It is without a packet for longer than its timeout.
    pub(crate) expired: bool,
    /// Ticks since its last packet.
    pub(crate) idle: u32,
    /// Packets from its client.
    pub(crate) packets: u32,
}

/// What an entry is to hold, as its director says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<F: Family> {
    /// What it is found by.
    pub(crate) key: Key<F>,
    /// Its state.
    pub(crate) state: u8,
    /// Ticks without a packet after which it is expired.
    pub(crate) timeout: u32,
}

impl<F: Family> Taken<F> {
    /// A connection or template between a client and a virtual address. `timeout` is in ticks.
    pub(super) fn new(
        client: (F::Address, u16),
        virtual_address: (F::Address, u16),
        checked: &Checked,
        recognized: &Recognized,
        timeout: u32,
    ) -> Self {
        let state = checked.state;
        let key = match checked.protocol {
            Some(protocol) if !checked.template => Key {
                source: client.0,
                destination: virtual_address.0,
                ports: Ports {
                    source: client.1.into(),
                    destination: virtual_address.1.into(),
                },
                protocol: protocol.number(),
                kind: Kind::Request as u8,
            },
            _ => persistence::template::<F>(client.0, &recognized.service, WHOLE),
        };
        Self {
            key,
            record: recognized.record,
            server: recognized.server,
            state,
            half_open: match checked.protocol {
                Some(protocol) if !checked.template => half_open(protocol, state),
                _ => state == persistence::UNASSURED,
            },
            timeout,
            inactive: checked.inactive,
        }
    }

    /// What another director of ours says of a connection, or of a template.
    pub(crate) fn of(content: &Content<F>, recognized: &Recognized) -> Self {
        let Content {
            key,
            state,
            timeout,
        } = *content;
        let protocol = Protocol::from_number(key.protocol);
        let half_open = match (Kind::from_raw(key.kind), protocol) {
            (Kind::Request, Some(protocol)) => half_open(protocol, state),
            _ => state == persistence::UNASSURED,
        };
        Self {
            key,
            record: recognized.record,
            server: recognized.server,
            state,
            half_open,
            timeout,
            inactive: false,
        }
    }

    /// Makes the table hold it, whatever it held of it before. Tells which entry it is.
    pub(super) fn enter<T: Store<F>>(
        &self,
        table: T,
        secrets: impl Secrets,
        now: u32,
    ) -> Result<Inserted, Discard> {
        // What is over there does not end what is under way here.
        let refuse = |there: Present| {
            (there.differs && self.inactive && !there.expired).then_some(Discard::Inactive)
        };
        self.enter_unless(table, secrets, now, refuse)
    }

    /// Makes the table hold it, unless what it holds of it already is a reason not to. Tells which entry it
    /// is.
    pub(crate) fn enter_unless<T: Store<F>>(
        &self,
        table: T,
        secrets: impl Secrets,
        now: u32,
        refuse: impl Fn(Present) -> Option<Discard>,
    ) -> Result<Inserted, Discard> {
        let place = Place::of(F::hash(&self.key, secrets), table.sets());
        for _ in 0..ATTEMPTS {
            if let Some(slot) = table::find(table, &self.key, place) {
                if self.renew(table, &slot, now, &refuse)? {
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
        Err(Discard::NoRoom)
    }

    /// Brings an entry that is there up to date. False: it is gone now, and may be made anew.
    fn renew<T: Store<F>>(
        &self,
        table: T,
        slot: &Slot<T::Set>,
        now: u32,
        refuse: impl Fn(Present) -> Option<Discard>,
    ) -> Result<bool, Discard> {
        let set = slot.set;
        let before = set.record(slot.way);
        if !table::unchanged(slot) {
            return Ok(false);
        }
        let differs = (before.server, before.method) != (self.record.server, self.record.method);
        let idle = lvs_common::abi::age(now, set.seen(slot.way));
        let expired = idle > set.timeout(slot.way);
        let there = Present {
            number: slot.number,
            differs,
            expired,
            idle,
            packets: set.packets(slot.way),
        };
        if let Some(why) = refuse(there) {
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
            // Nobody heard the client here; its next packet tells.
            client: Client::default(),
            partner: 0,
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
        let mut replies = new;
        replies.into_replies(&self.server);
        let reply_place = Place::of(F::hash(&replies.key, secrets), table.sets());
        let reply = table::insert(table, reply_place, &mut replies)?;
        new.partner = reply.number;
        let connection = table::insert(table, place, &mut new);
        table::complete_pair(table, &reply, connection, &self.half_open)
    }
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
