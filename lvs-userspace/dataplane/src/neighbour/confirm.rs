//! Has the kernel confirm the neighbours that replies to clients go to.
//!
//! The kernel does not see the frames that the program sends. Left alone it would keep the Ethernet address of a router
//! that went silently to another machine, and nobody would ask again.

use std::collections::BTreeSet;

use lvs_common::abi::Mac;
use rtnetlink::packet_core::NLM_F_CREATE;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourMessage, NeighbourState};
use tracing::debug;

use super::decode;
use super::lookup::BATCH;
use super::tables::{Neighbour, NeighbourKey};
use super::task::refresh;
use super::update::Update;
use crate::netlink::{Error, Requests};

/// Tells the kernel that the neighbours with these Ethernet addresses are in use which it has not heard from for a
/// while (stale): it asks them as it does those that it sends to itself, and gives up those that do not answer.
pub async fn confirm(requests: &mut Requests, used: &BTreeSet<Mac>) -> Result<(), Error> {
    let all = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    let neighbours = requests.dump(all).await?;
    let stale: Vec<_> = neighbours
        .iter()
        .filter_map(|found| stale(found, used))
        .collect();
    for some in stale.chunks(BATCH) {
        let messages = some.iter().map(|&key| refresh(key)).collect();
        let answers = requests.send_all(messages, NLM_F_CREATE).await?;
        for (key, answer) in some.iter().zip(answers) {
            if let Err(error) = answer {
                debug!("the kernel does not confirm {key:?}: {error}");
            }
        }
    }
    Ok(())
}

/// The neighbour of a message, if it is to be confirmed. One that somebody else keeps is not.
fn stale(message: &RouteNetlinkMessage, used: &BTreeSet<Mac>) -> Option<NeighbourKey> {
    let RouteNetlinkMessage::NewNeighbour(found) = message else {
        return None;
    };
    match decode::update(message)? {
        Update::Neighbour(key, Some(Neighbour::Known(mac)))
            if found.header.state == NeighbourState::Stale && used.contains(&mac) =>
        {
            Some(key)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::AddressFamily;
    use rtnetlink::packet_route::neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags,
    };

    const MAC: Mac = [2, 0, 0, 0, 0, 1];

    fn message(state: NeighbourState, mac: Mac, flags: NeighbourFlags) -> RouteNetlinkMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = 3;
        message.header.state = state;
        message.header.flags = flags;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet([10, 0, 0, 1].into())),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        RouteNetlinkMessage::NewNeighbour(message)
    }

    #[test]
    fn only_stale_neighbours_in_use_are_confirmed() {
        use NeighbourState as State;
        let used = BTreeSet::from([MAC]);
        let none = NeighbourFlags::empty();
        let stale = |state, mac, flags| stale(&message(state, mac, flags), &used).is_some();
        assert!(stale(State::Stale, MAC, none));
        assert!(!stale(State::Stale, [2, 0, 0, 0, 0, 2], none), "not in use");
        for state in [
            State::Reachable,
            State::Delay,
            State::Probe,
            State::Permanent,
        ] {
            assert!(!stale(state, MAC, none), "{state:?}");
        }
        assert!(!stale(State::Stale, MAC, NeighbourFlags::ExtLearned));
    }
}
