//! The open connections of limited clients, counted by the sweep.
//!
//! Packets count the connections that they begin and close. One that ends without a packet (it expires, is recycled or
//! removed) is counted off here, and here is found out what a client has that was forgotten for others and came back,
//! and which connections came from another director. A sweep takes a while, and packets go on meanwhile: a client that
//! has fewer than it is counted to have is corrected by as many as in two sweeps, as one that a packet begins behind the
//! sweep is missed by one of them; one that has more only if the difference lasts. So limits err to the open side.

use std::collections::HashMap;

use lvs_common::abi::{Address, LimitedClient};
use lvs_common::connection::{Kind, Protocol, Record, Servers as _};
use lvs_common::family::Family;
use lvs_common::filter::clients::{ClientKey, Clients as _, is_open};

use crate::kernel::{ClientTable, EntryMapping, ServerLoads};

/// Sweeps that a client has to have too few.
const SWEEPS: u8 = 3;

/// A client's address and its service.
type Identity = (Address, u32);

/// Open connections of limited clients, as one sweep after the other counts them.
#[derive(Default)]
pub struct OpenConnections {
    counted: HashMap<Identity, i32>,
    /// Of the services that connections were met of in this sweep.
    masks: HashMap<u32, Option<[u64; 2]>>,
    /// Clients whose count differed in the last sweep, by how much and how often.
    differences: HashMap<Identity, (i32, u8)>,
}

impl OpenConnections {
    /// Counts a live entry of the table, if it is of a connection that is counted.
    pub fn note<F: Family>(
        &mut self,
        clients: &ClientTable,
        table: &EntryMapping<F>,
        servers: &ServerLoads,
        way: u32,
    ) {
        let (.., record) = table.route(way);
        if record.method & Record::COUNTED == 0 {
            return;
        }
        let Some((tag, entry)) = table.read_live(way) else {
            return;
        };
        let protocol = Protocol::from_number(entry.key.protocol);
        let open = protocol.is_some_and(|protocol| is_open(protocol, tag.state()));
        if !open || entry.key.kind != Kind::Request as u8 {
            return;
        }
        let service = servers.service_of(&record);
        let mask = self.masks.entry(service);
        if let Some(mask) = *mask.or_insert_with(|| clients.client_mask(service)) {
            let key = ClientKey::new(mask, service, &F::widen(entry.key.source));
            *self.counted.entry((key.address, service)).or_default() += 1;
        }
    }

    /// Ends a sweep of all tables: corrects the clients whose count was wrong for several sweeps.
    pub fn correct(&mut self, clients: &ClientTable) {
        let before = std::mem::take(&mut self.differences);
        let counted = std::mem::take(&mut self.counted);
        self.masks.clear();
        for (slot, client) in clients.all() {
            let LimitedClient {
                address,
                service,
                connections,
                ..
            } = client;
            let identity = (address, service);
            let count = counted.get(&identity).copied().unwrap_or(0);
            match step(&before, identity, count - connections.cast_signed()) {
                Step::Right => {}
                Step::Wait(difference, sweeps) => {
                    self.differences.insert(identity, (difference, sweeps));
                }
                Step::Correct(difference) => slot.count(difference),
            }
        }
    }
}

/// The change of a client's count.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Right,
    /// It differs by so much, and has for so many sweeps.
    Wait(i32, u8),
    /// It has for long enough.
    Correct(i32),
}

fn step(before: &HashMap<Identity, (i32, u8)>, identity: Identity, difference: i32) -> Step {
    let sweeps = match before.get(&identity) {
        Some((same, sweeps)) if *same == difference => sweeps + 1,
        _ => 1,
    };
    match before.get(&identity) {
        _ if difference == 0 => Step::Right,
        Some((earlier, _)) if *earlier < 0 && difference < 0 => {
            Step::Correct(difference.max(*earlier))
        }
        _ if sweeps >= SWEEPS => Step::Correct(difference),
        _ => Step::Wait(difference, sweeps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_are_corrected_if_two_sweeps_say_so_and_too_few_when_that_lasts() {
        let identity = ([7; 16], 3);
        let mut before = HashMap::new();
        let mut sweep = |difference| {
            let step = step(&before, identity, difference);
            before.clear();
            if let Step::Wait(difference, sweeps) = step {
                before.insert(identity, (difference, sweeps));
            }
            step
        };
        assert_eq!(sweep(2), Step::Wait(2, 1));
        assert_eq!(sweep(2), Step::Wait(2, 2));
        assert_eq!(sweep(-1), Step::Wait(-1, 1));
        assert_eq!(sweep(-3), Step::Correct(-1));
        assert_eq!(sweep(-2), Step::Wait(-2, 1));
        assert_eq!(sweep(0), Step::Right);
        assert_eq!(sweep(-2), Step::Wait(-2, 1));
        assert_eq!(sweep(1), Step::Wait(1, 1));
        assert_eq!(sweep(0), Step::Right);
        assert_eq!(sweep(5), Step::Wait(5, 1));
        assert_eq!(sweep(5), Step::Wait(5, 2));
        assert_eq!(sweep(5), Step::Correct(5));
        assert_eq!(sweep(0), Step::Right);
    }
}
