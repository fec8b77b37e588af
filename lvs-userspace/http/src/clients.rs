//! Connections at a time: in all, and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::throttle::network;

/// Most connections at once.
pub(crate) const CONNECTIONS: usize = 256;

/// Most connections of one client at once: a page has a few.
pub(crate) const OF_ONE_CLIENT: usize = 32;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// A place among them, free again once it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    network: IpAddr,
}

impl Clients {
    /// A place for a connection of this client; none: there are too many.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let network = network(client);
        let mut open = self.0.lock();
        let all: usize = open.values().sum();
        let own = open.get(&network).copied().unwrap_or(0);
        if all >= CONNECTIONS || own >= OF_ONE_CLIENT {
            return None;
        }
        open.insert(network, own + 1);
        let clients = Arc::clone(self);
        Some(Place { clients, network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.clients.0.lock();
        if let Some(own) = open.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_room_for_others() {
        let clients = Arc::<Clients>::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let own: Vec<_> = (0..OF_ONE_CLIENT)
            .map_while(|_| clients.admit(address(1)))
            .collect();
        assert_eq!(own.len(), OF_ONE_CLIENT);
        assert!(clients.admit(address(1)).is_none());
        let others: Vec<_> = (2..=255)
            .map_while(|last| clients.admit(address(last)))
            .collect();
        assert_eq!(own.len() + others.len(), CONNECTIONS);
        drop(own);
        assert!(clients.admit(address(1)).is_some());
        drop(others);
        assert!(clients.0.lock().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let clients = Arc::<Clients>::default();
        let address = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        let own: Vec<_> = (0..100)
            .map_while(|last| clients.admit(address(last)))
            .collect();
        assert_eq!(own.len(), OF_ONE_CLIENT);
    }
}
