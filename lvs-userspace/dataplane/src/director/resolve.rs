//! Follows the next hops of the real servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tracing::warn;

use super::allocator::MapKind;
use super::changes::Changes;
use super::next_hops::{NextHop, Switch};
use super::own_end;
use super::parts::Director;

impl Director {
    /// Sends packets to a real server's address another way from now on.
    pub fn resolve(&mut self, address: IpAddr, next: NextHop) {
        if let Some(switch) = self.hops.resolve(address, next, &mut self.allocator) {
            self.switch_hop(address, &switch);
        }
    }

    /// Has addresses resolved that are about to become real servers'. True if all of them are already.
    pub fn expect(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        self.hops.expect(addresses)
    }

    /// Addresses of real servers that packets cannot be sent to.
    pub fn unresolved(&self) -> Vec<IpAddr> {
        self.hops.unresolved()
    }

    /// Indices of the interfaces by which packets leave for real servers.
    pub fn ways_out(&self) -> BTreeSet<u32> {
        self.hops.ways_out()
    }

    /// Stops sending to addresses that have been unresolved for a while; forgets those of no server.
    pub(super) fn expire_hops(&mut self) {
        for address in self.hops.lost() {
            if let Some(switch) = self.hops.withdraw(address, &mut self.allocator) {
                self.switch_hop(address, &switch);
            }
        }
        for address in self.hops.unused(self.servers.addresses()) {
            self.clear_hop(address);
            self.hops.forget(address);
        }
    }

    fn clear_hop(&mut self, address: IpAddr) {
        if let Some(switch) = self.hops.clear(address) {
            self.switch_hop(address, &switch);
        }
    }

    /// Switches the servers at an address over to its new hop.
    fn switch_hop(&mut self, address: IpAddr, switch: &Switch) {
        self.servers.set_hop(address, switch.number);
        let length = u32::from(switch.previous != 0);
        self.allocator
            .retire(MapKind::Hops, switch.previous, length);
        if switch.local_changed {
            self.rewrite_services_with(address);
        }
    }

    /// Writes the services of an address anew: the method in a plan depends on whether the address is the
    /// director's own.
    fn rewrite_services_with(&mut self, address: IpAddr) {
        let services = self.services.configured();
        let affected: Vec<_> = services
            .filter(|(_, service)| service.servers().any(|(id, ..)| id.address() == address))
            .map(|(_, service)| (service.id, service.wanted.clone()))
            .collect();
        for (id, wanted) in affected {
            own_end::warn_of(&id, &wanted, address);
            if let Err(refusal) = self.upsert_service(id, wanted, &Changes::default()) {
                warn!(
                    "{id:?} keeps its old forwarding methods: {}",
                    refusal.message
                );
            }
        }
    }
}
