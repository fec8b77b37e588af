//! Servers that do not answer: the signs of it, and what becomes of their connections.

use std::sync::mpsc;

use lvs_common::abi;

use super::wanted::{canonical, canonical_service};
use super::{Director, RealServer};
use lvs_api::model::{ServerId, ServiceId};

/// What becomes of the connections of a server that died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// They stay with it, as with ldirectord.
    #[default]
    Keep,
    /// As [`OnDown::Reschedule`], and silent clients are made to speak, so that they are reset at once.
    Reset,
    /// Their next packets are scheduled anew, or answered with a reset where that makes no sense.
    Reschedule,
}

/// Clients repeated SYNs because a server did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// The virtual service.
    pub service: ServiceId,
    /// Its real server.
    pub server: ServerId,
    /// How many SYNs.
    pub syns: u32,
}

impl RealServer {
    /// [`abi::Server::flags`].
    pub(super) const fn flags(&self) -> u8 {
        let deleted = if self.deleted.is_some() {
            abi::Server::DELETED
        } else {
            0
        };
        let down = if self.down { abi::Server::DOWN } else { 0 };
        deleted | down
    }
}

impl Director {
    /// The servers whose clients repeated SYNs since the last call: a sign of death, or of a packet that
    /// was lost. To be called many times a second: of a server without any, it looks at two counters, which
    /// lie beside those of its neighbours.
    pub fn repeats(&mut self) -> Vec<Repeats> {
        let mut found = Vec::new();
        for (index, before) in (0..).zip(&mut self.repeats) {
            let now = self.maps.repeats.read(index).unwrap_or(0);
            let syns = now.wrapping_sub(*before);
            if syns == 0 {
                continue;
            }
            *before = now;
            let record = self.servers.get(&index);
            let Some(record) = record.filter(|record| record.deleted.is_none()) else {
                continue;
            };
            if let Some(service) = self.services.get(&record.service) {
                found.push(Repeats {
                    service: service.id,
                    server: ServerId(record.address),
                    syns,
                });
            }
        }
        found
    }

    /// Those of a server until now are no sign of anything.
    pub(super) fn look_at_repeats(&mut self, server: u32) {
        let place = server as usize;
        if self.repeats.len() <= place {
            self.repeats.resize(place + 1, 0);
        }
        if let (Some(before), Some(now)) =
            (self.repeats.get_mut(place), self.maps.repeats.read(server))
        {
            *before = now;
        }
    }

    /// Decides what becomes of the connections of a server that died. To be called once it takes no new
    /// ones: its weight is 0, or it is deleted. It counts as up again as soon as it is given a weight.
    ///
    /// - [`OnDown::Keep`]: their packets go to the server as before.
    /// - [`OnDown::Reschedule`]: a SYN or a UDP datagram goes to another server; any other TCP segment
    ///   is answered with a reset, because no other server could go on with its stream.
    /// - [`OnDown::Reset`]: the same, and clients that wait for the server in silence are made to speak,
    ///   so that they are reset at once.
    ///
    /// False: there is no such server, deleted ones with connections included.
    pub fn mark_down(&mut self, service: &ServiceId, server: ServerId, on_down: OnDown) -> bool {
        let service = self.by_id.get(&canonical_service(service)).copied();
        let index = service.and_then(|service| {
            let server = (service, canonical(server.0));
            self.by_server.get(&server).copied()
        });
        let Some((index, record)) =
            index.and_then(|index| Some((index, self.servers.get_mut(&index)?)))
        else {
            return false;
        };
        record.down = on_down != OnDown::Keep;
        self.set_server_flags(index);
        if let (OnDown::Reset, Some(waker), Ok(index)) =
            (on_down, &self.waker, u16::try_from(index))
        {
            // Nobody listens while the daemon ends.
            let _ = waker.send(index);
        }
        true
    }

    /// Indexes of servers whose silent clients are to be made to speak, as they die. For one listener.
    pub fn orphaned(&mut self) -> mpsc::Receiver<u16> {
        let (waker, orphaned) = mpsc::channel();
        self.waker = Some(waker);
        orphaned
    }
}
