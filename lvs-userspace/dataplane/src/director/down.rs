//! Servers that do not answer: the signs of it, and what becomes of their connections.

use std::sync::mpsc;

use lvs_api::model::{Method, OnDown, ServerId, ServiceId};
use lvs_api::protocol::Traffic;

use super::parts::Director;
use super::wanted::{canonical, canonical_service};

/// SYNs of clients that a server did not answer, so that they were repeated, or (NAT) refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynRetries {
    /// The virtual service.
    pub service: ServiceId,
    /// Its real server.
    pub server: ServerId,
    /// Its forwarding method.
    pub method: Method,
    /// Number of SYNs.
    pub syns: u32,
    /// All traffic of the server since the last zeroing.
    pub traffic: Traffic,
}

impl Director {
    /// The servers whose clients repeated SYNs or were refused since the last call: a sign of death, or of a packet
    /// that was lost. To be called many times a second.
    pub fn syn_retries(&mut self) -> Vec<SynRetries> {
        let found = self.syn_retries.since_last();
        let known = found.filter_map(|(index, syns)| {
            let (service, address) = self
                .servers
                .get(index)
                .filter(|_| !self.servers.is_deleted(index))?;
            let service = self.services.get(service)?;
            let server = ServerId(address);
            let mut servers = service.wanted.servers.iter();
            let (_, settings) = servers.find(|(id, _)| *id == server)?;
            Some(SynRetries {
                service: service.id,
                server,
                method: settings.method,
                syns,
                traffic: self.statistics.server(index),
            })
        });
        known.collect()
    }

    /// Decides what becomes of the connections of a server that died. To be called once it takes no new
    /// ones: its weight is 0, or it is deleted. It counts as up again as soon as it is given a weight.
    ///
    /// - [`OnDown::Keep`]: their packets go to the server as before.
    /// - [`OnDown::Reschedule`]: a SYN or a UDP datagram goes to another server; any other TCP segment
    ///   is answered with a reset, because no other server could go on with its stream.
    /// - [`OnDown::Reset`]: the same, and the server's side is reset by the first segment of its client; clients
    ///   that wait for the server in silence are made to speak, so that both sides are reset at once.
    ///
    /// False: there is no such server, deleted ones with connections included.
    pub fn mark_down(&mut self, service: &ServiceId, server: ServerId, on_down: OnDown) -> bool {
        let service = self.services.index(&canonical_service(service));
        let index = service.and_then(|service| self.servers.find(service, canonical(server.0)));
        index.is_some_and(|index| self.set_down(index, on_down))
    }

    /// The same by the server's index.
    pub(super) fn set_down(&mut self, index: u32, on_down: OnDown) -> bool {
        let known = self.servers.set_down(index, on_down);
        if let (true, OnDown::Reset, Some(resets)) = (known, on_down, &self.resets) {
            // Nobody listens while the daemon ends.
            let _ = resets.send(index);
        }
        known
    }

    /// Indexes of servers whose silent clients are to be made to speak, as they die. For one listener.
    pub fn servers_to_reset(&mut self) -> mpsc::Receiver<u32> {
        let (resets, servers) = mpsc::channel();
        self.resets = Some(resets);
        servers
    }
}
