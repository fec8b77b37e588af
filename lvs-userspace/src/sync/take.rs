//! Takes connections of another director into the own table, as IPVS's backup does.

use lvs_common::abi::{Method, Server};
use lvs_common::connection::table::{
    self, New, Place, Refused, Secrets, Slot, Store, Survey, Ways,
};
use lvs_common::connection::{Client, Key, Kind, Ports, Record, half_open, resume};
use lvs_common::family::Family;
use lvs_common::persistence;
use zerocopy::byteorder::network_endian::U16;

use super::Discard;
use super::check::Checked;
use crate::director::Recognized;

/// Times an entry is tried again when packets of the same connection make and remove it meanwhile.
const ATTEMPTS: u32 = 4;

/// What is to be entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<F: Family> {
    key: Key<F>,
    record: Record,
    server: Server,
    state: u8,
    half_open: bool,
    timeout: u32,
    inactive: bool,
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
        let (kind, port) = if checked.template {
            (Kind::Template, recognized.service_port)
        } else {
            (Kind::Request, virtual_address.1)
        };
        let state = checked.state;
        Self {
            key: Key {
                source: client.0,
                destination: virtual_address.0,
                ports: Ports {
                    source: client.1.into(),
                    destination: port.into(),
                },
                protocol: checked.protocol.number(),
                kind: kind as u8,
            },
            record: recognized.record,
            server: recognized.server,
            state,
            half_open: if checked.template {
                state == persistence::UNASSURED
            } else {
                half_open(checked.protocol, state)
            },
            timeout,
            inactive: checked.inactive,
        }
    }

    /// Makes the table hold it, whatever it held of it before.
    pub(super) fn enter<T: Store<F>>(
        &self,
        table: T,
        secrets: impl Secrets,
        now: u32,
    ) -> Result<(), Discard> {
        let place = Place::of(F::hash(&self.key, secrets), table.sets());
        for _ in 0..ATTEMPTS {
            if let Some(slot) = table::find(table, &self.key, place) {
                if self.renew(table, &slot, now)? {
                    return Ok(());
                }
                continue;
            }
            match self.insert(table, place, secrets, now) {
                Ok(()) => return Ok(()),
                Err(Refused::Exists) => {}
                Err(Refused::Full) => return Err(Discard::NoRoom),
            }
        }
        Err(Discard::NoRoom)
    }

    /// Brings an entry that is there up to date. False: it is gone now, and may be made anew.
    fn renew<T: Store<F>>(&self, table: T, slot: &Slot<T::Set>, now: u32) -> Result<bool, Discard> {
        let set = slot.set;
        let before = set.record(slot.way);
        if !table::unchanged(slot) {
            return Ok(false);
        }
        let same = (before.server, before.method) == (self.record.server, self.record.method);
        let expired = lvs_common::abi::age(now, set.seen(slot.way)) > set.timeout(slot.way);
        if !same || expired {
            // What is over there does not end what is under way here.
            if self.inactive && !expired {
                return Err(Discard::Inactive);
            }
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
    ) -> Result<(), Refused> {
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
            return table::insert(table, place, &mut new).map(|_| ());
        }
        // As in the packet path: first the entry for the replies, then both are tied together.
        let mut replies = New {
            key: self.reply(),
            state: 0,
            // It lives as long as its connection, whose clock is the one that packets keep going.
            timeout: u32::MAX,
            ..new
        };
        let reply_place = Place::of(F::hash(&replies.key, secrets), table.sets());
        let reply = table::insert(table, reply_place, &mut replies)?;
        new.partner = reply.number;
        match table::insert(table, place, &mut new) {
            Ok(connection) => table::tie(table, reply, connection, self.half_open),
            Err(refused) => {
                table::discard(table, reply);
                Err(refused)
            }
        }
    }

    /// What the replies of a NAT connection are found by.
    fn reply(&self) -> Key<F> {
        let mut ports = self.key.ports.reversed();
        if self.server.port != U16::ZERO {
            ports.source = self.server.port;
        }
        Key {
            source: F::narrow(&self.server.address),
            destination: self.key.source,
            ports,
            protocol: self.key.protocol,
            kind: Kind::Reply as u8,
        }
    }
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
