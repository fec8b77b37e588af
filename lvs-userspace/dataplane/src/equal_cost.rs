//! Interfaces that equal-cost routes (IPv4) lead by together. `rp_filter` 1 takes a packet by any next hop of the route
//! back to its source (`fib_info_nh_uses_dev`); the program, which is told one of them, finds the others here.

use std::collections::BTreeMap;

use lvs_common::abi::Interface;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tracing::warn;

use crate::kernel::Maps;
use crate::neighbour::next_hops;
use crate::netlink::{Error, Requests};

/// Returns whether any interface refuses sources for the way back to them (`rp_filter` 1).
pub fn matters(maps: &Maps) -> bool {
    maps.interfaces.flags() & Interface::RP_STRICT != 0
}

/// Reads the routes, which takes seconds where they are all the world's, and publishes the groups to the program.
pub async fn publish(requests: &mut Requests, maps: &Maps) -> Result<(), Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    let mut groups = Groups::default();
    let read = requests.dump_each(RouteNetlinkMessage::GetRoute(message), |message| {
        if let RouteNetlinkMessage::NewRoute(route) = &message {
            groups.add(&next_hops(route));
        }
    });
    match read.await {
        // What was read while routes changed is of use: the change has them read once more.
        Ok(()) | Err(Error::Interrupted) => {}
        Err(error) => return Err(error),
    }
    if let Err(error) = maps.interfaces.write_equal_cost(groups.0) {
        warn!("{error}");
    }
    Ok(())
}

/// The groups: the least index of an interface in each, by the interface.
#[derive(Debug, Default)]
struct Groups(BTreeMap<u32, u32>);

impl Groups {
    /// Adds the next hops of a route. What has one in common is one group.
    fn add(&mut self, hops: &[u32]) {
        let number = |index: &u32| self.0.get(index).copied().unwrap_or(*index);
        let numbers: Vec<_> = hops.iter().map(number).collect();
        let Some(&least) = numbers.iter().min() else {
            return;
        };
        if hops.iter().all(|index| *index == hops[0]) {
            return;
        }
        for number in self.0.values_mut() {
            if numbers.contains(number) {
                *number = least;
            }
        }
        self.0.extend(hops.iter().map(|&index| (index, least)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_one_route_are_a_group() {
        let mut groups = Groups::default();
        for hops in [&[7, 5][..], &[9, 8], &[], &[3], &[4, 4]] {
            groups.add(hops);
        }
        assert_eq!(groups.0, BTreeMap::from([(5, 5), (7, 5), (8, 8), (9, 8)]));
    }

    #[test]
    fn groups_with_an_interface_in_common_are_one() {
        let mut groups = Groups::default();
        for hops in [[7, 5], [9, 8], [8, 7]] {
            groups.add(&hops);
        }
        assert_eq!(groups.0, [5, 7, 8, 9].map(|index| (index, 5)).into());
    }
}
