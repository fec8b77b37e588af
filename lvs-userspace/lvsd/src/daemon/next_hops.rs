//! Next hops between the director, which needs them, and the resolver.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use lvs_common::abi::{EthernetAddresses, Hop};
use lvs_dataplane::director::NextHop;
use lvs_dataplane::neighbour::{Change, Neighbours, Resolution};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::interfaces::Interfaces;
use super::stop::ended;
use crate::control::Control;

/// Waits at most 0.3 s for the next hops of the real servers there are: requests that follow the start of a
/// daemon expect answers.
pub(super) async fn wait_resolved(control: &Arc<Control>) {
    for _ in 0..60 {
        let control = Arc::clone(control);
        let resolved =
            tokio::task::spawn_blocking(move || control.director().unresolved().is_empty());
        if resolved.await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Has next hops followed until the end.
pub(super) async fn keep(neighbours: Neighbours, stopped: watch::Receiver<()>) {
    ended(stopped).await;
    drop(neighbours);
}

/// Applies the changes that the resolver reports to the director. Before packets leave by an interface, the
/// programs are where that needs them.
pub(super) async fn apply_changes(
    mut changes: mpsc::Receiver<Vec<Change>>,
    control: Arc<Control>,
    interfaces: Arc<Mutex<Interfaces>>,
) {
    while let Some(changes) = changes.recv().await {
        let (control, interfaces) = (Arc::clone(&control), Arc::clone(&interfaces));
        let work = tokio::task::spawn_blocking(move || {
            let hops = changes
                .iter()
                .filter_map(|change| match &change.resolution {
                    Resolution::Resolved(hop) => Some(hop.interface),
                    _ => None,
                });
            interfaces.lock().expect(&control, hops.collect());
            let mut director = control.director();
            for change in changes {
                director.resolve(change.address, next_hop(change.resolution));
            }
        });
        if let Err(error) = work.await {
            error!("next hops could not be stored: {error}");
        }
    }
}

fn next_hop(resolution: Resolution) -> NextHop {
    let hop = match resolution {
        Resolution::Local => return NextHop::Local,
        Resolution::Unresolved(reason) => return NextHop::Unresolved(reason),
        Resolution::Unreachable(reason) => return NextHop::Unreachable(reason),
        Resolution::Resolved(hop) => hop,
    };
    let mac = hop.destination.map(|byte| format!("{byte:02x}")).join(":");
    let vlan = if hop.vlan == 0 {
        String::new()
    } else {
        format!(" vlan {}", hop.vlan)
    };
    NextHop::Via {
        text: format!("{} {mac}{vlan}", hop.interface_name),
        hop: Hop {
            ethernet: EthernetAddresses::new(hop.destination, hop.source),
            vlan: hop.vlan.into(),
            mtu: hop.mtu,
            interface: hop.interface,
            source4: hop.source4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets(),
            source6: hop.source6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets(),
            flags: if hop.xdp { Hop::XDP } else { 0 }
                | if hop.ethernet { 0 } else { Hop::NO_ETHERNET },
            device: hop.device,
            reserved: [0; 16],
        },
    }
}
