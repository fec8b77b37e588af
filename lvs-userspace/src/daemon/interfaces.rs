//! The interfaces that the program runs on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::file::File;
use crate::control::protocol::Interface;
use crate::control::server::Control;
use crate::kernel::{Attachment, DataPath};
use crate::model::ServiceId;
use crate::neighbour::ports;
use crate::own_addresses;

/// Attaches to the interfaces named, or to those of the data path that was found, or to those where
/// packets of these addresses come and go.
pub(super) fn attach(
    data_path: &mut DataPath,
    named: &[String],
    addresses: BTreeSet<IpAddr>,
) -> Result<Vec<Attachment>> {
    let mut wanted = named.to_vec();
    if wanted.is_empty() {
        wanted = data_path.attached()?;
        wanted.retain(|name| exists(name));
    }
    if wanted.is_empty() && !addresses.is_empty() {
        wanted = found(addresses)?;
    }
    if wanted.is_empty() {
        warn!("no interface is named (--interface): nothing will be forwarded");
    }
    Ok(data_path.attach(&wanted)?)
}

/// Looks for them; nobody named any.
fn found(addresses: BTreeSet<IpAddr>) -> Result<Vec<String>> {
    // Nothing else runs yet: the daemon's own runtime begins when its privileges are given up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let found = runtime
        .block_on(ports(addresses))
        .context("cannot find the interfaces of the services; name them with --interface")?;
    let found: Vec<_> = found.into_iter().collect();
    if !found.is_empty() {
        let names = found.join(", ");
        info!("by the routes, packets of the services come and go by {names} (see --interface)");
    }
    Ok(found)
}

/// The addresses in a file: of virtual services, real servers and fallback servers.
pub(super) fn addresses(file: &File) -> BTreeSet<IpAddr> {
    let of_service = |id: &ServiceId| match id {
        ServiceId::Address { address, .. } => Some(address.ip()),
        ServiceId::Mark { .. } => None,
    };
    match file {
        File::Rules(rules) => rules
            .services
            .iter()
            .flat_map(|(id, wanted)| {
                let servers = wanted.servers.iter().map(|(id, _)| id.address());
                of_service(id).into_iter().chain(servers)
            })
            .collect(),
        File::Services(services) => services
            .virtuals
            .iter()
            .flat_map(|service| {
                let servers = service.servers.iter().map(|server| server.id.address());
                let fallbacks = service.fallbacks.iter().map(|server| server.id.address());
                of_service(&service.id)
                    .into_iter()
                    .chain(servers)
                    .chain(fallbacks)
            })
            .collect(),
    }
}

fn exists(interface: &str) -> bool {
    let exists = nix::net::if_::if_nametoindex(interface).is_ok();
    if !exists {
        warn!("the interface {interface} is gone");
    }
    exists
}

pub(super) fn describe(attachments: &[Attachment]) -> Vec<Interface> {
    let interface = |attachment: &Attachment| Interface {
        name: attachment.interface.clone(),
        mode: attachment.mode.name().to_owned(),
    };
    attachments.iter().map(interface).collect()
}

/// Looks whether the interfaces still are those that the program was attached to.
pub(super) fn attaching(
    data_path: Arc<Mutex<DataPath>>,
    mut attachments: Vec<Attachment>,
) -> impl FnMut(&Control) + Send + 'static {
    move |control| {
        own_addresses::follow(&control.maps().config);
        let mut data_path = data_path.lock().unwrap_or_else(PoisonError::into_inner);
        if data_path.follow(&mut attachments) {
            control.set_interfaces(describe(&attachments));
        }
    }
}
