//! Has the kernel find neighbours that nobody follows: next hops of replies to clients.

use lvs_common::abi::HostAddress;
use rtnetlink::packet_core::NLM_F_CREATE;
use tracing::debug;

use super::lookup::BATCH;
use super::tables::NeighbourKey;
use super::task::refresh;
use crate::address::narrow;
use crate::netlink::{Error, Requests};

/// Has the kernel solicit these neighbours, or confirm those that it knows.
pub async fn solicit(requests: &mut Requests, neighbours: &[HostAddress]) -> Result<(), Error> {
    for some in neighbours.chunks(BATCH) {
        let messages = some.iter().map(|host| refresh(key(host))).collect();
        let answers = requests.send_all(messages, NLM_F_CREATE).await?;
        for (host, answer) in some.iter().zip(answers) {
            if let Err(error) = answer {
                debug!("the kernel does not ask for {:?}: {error}", key(host));
            }
        }
    }
    Ok(())
}

fn key(host: &HostAddress) -> NeighbourKey {
    NeighbourKey {
        interface: host.interface,
        address: narrow(&host.address, if host.family == 4 { 4 } else { 6 }),
    }
}
