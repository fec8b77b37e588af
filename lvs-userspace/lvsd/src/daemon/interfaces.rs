//! The interfaces that the program runs on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use tracing::{error, info, warn};

use super::file::File;
use crate::control::server::Control;
use lvs_api::model::ServiceId;
use lvs_api::protocol::Interface;
use lvs_dataplane::kernel::{Attachment, DataPath, KernelError};
use lvs_dataplane::neighbour::ports;
use lvs_dataplane::own_addresses;

/// The program on its interfaces.
pub(super) struct Interfaces {
    data_path: DataPath,
    attachments: Vec<Attachment>,
    /// The operator said which ones: there are no others.
    named: bool,
    /// Those by which packets of the services come and go, as the routes were when that was looked up.
    known: BTreeSet<String>,
}

impl Interfaces {
    /// Attaches to the interfaces named. Where none is, to those of the data path that was found, and to
    /// those where packets of these addresses come and go.
    pub(super) fn begin(
        mut data_path: DataPath,
        named: &[String],
        addresses: BTreeSet<IpAddr>,
    ) -> Result<Self> {
        let known = found(addresses);
        let mut wanted = named.to_vec();
        if wanted.is_empty() {
            wanted = data_path.attached()?;
            wanted.retain(|name| exists(name));
        }
        if wanted.is_empty() {
            let known = known
                .as_ref()
                .map_err(|error| anyhow!("{error:#}; name the interfaces with --interface"))?;
            tell(known.iter());
            wanted.extend(known.iter().cloned());
        }
        if wanted.is_empty() {
            warn!("no interface is named (--interface): nothing will be forwarded");
        }
        let mut interfaces = Self {
            attachments: data_path.attach(&wanted)?,
            data_path,
            named: !named.is_empty(),
            known: BTreeSet::new(),
        };
        let known = known.unwrap_or_default();
        if interfaces.named {
            interfaces.known = known;
        } else {
            interfaces.reach(known);
        }
        Ok(interfaces)
    }

    /// The services are others now, and their packets come and go by these interfaces: attaches where the
    /// program does not run yet. What keeps it from that goes to the log. True if it attached to any.
    fn reach(&mut self, known: BTreeSet<String>) -> bool {
        let runs = |name: &&String| self.attachments.iter().any(|a| a.interface == **name);
        let new: Vec<_> = known.iter().filter(|name| !runs(name)).cloned().collect();
        if self.named {
            for name in new.iter().filter(|name| !self.known.contains(*name)) {
                warn!(
                    "by the routes, packets of the services come and go by {name}, too: what comes in there \
                     is not forwarded, for --interface does not name it"
                );
            }
            self.known = known;
            return false;
        }
        self.known = known;
        tell(new.iter());
        let before = self.attachments.len();
        for name in new {
            match self.data_path.attach_to(&name) {
                Ok(attachment) => self.attachments.push(attachment),
                Err(error) => warn!("{:#}", anyhow::Error::from(error)),
            }
        }
        self.attachments.len() > before
    }

    /// What people are told of them.
    pub(super) fn describe(&self) -> Vec<Interface> {
        let interface = |attachment: &Attachment| Interface {
            name: attachment.interface.clone(),
            mode: attachment.mode.name().to_owned(),
        };
        self.attachments.iter().map(interface).collect()
    }

    /// What is left when nobody looks after them any more.
    pub(super) fn into_data_path(self) -> DataPath {
        self.data_path
    }
}

/// Has what comes from probes by an interface sent on.
pub(super) fn probes(
    interfaces: Arc<Mutex<Interfaces>>,
) -> impl Fn(&str) -> Result<(), KernelError> + Send + Sync {
    move |interface| {
        let mut interfaces = interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        interfaces.data_path.send_probes(interface)
    }
}

/// Sees to it that the program runs where packets of these addresses come and go.
pub(super) async fn reach(
    interfaces: &Arc<Mutex<Interfaces>>,
    control: &Arc<Control>,
    addresses: BTreeSet<IpAddr>,
) {
    let known = match ports(addresses).await {
        Ok(known) => known,
        Err(error) => return warn!("cannot find the interfaces of the services: {error}"),
    };
    let (interfaces, control) = (Arc::clone(interfaces), Arc::clone(control));
    let attach = move || {
        let mut interfaces = interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        if interfaces.reach(known) {
            control.set_interfaces(interfaces.describe());
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(attach).await {
        error!("the interfaces of the services are not attached to: {error}");
    }
}

/// Looks for the interfaces where packets of these addresses come and go; none come and go of none.
fn found(addresses: BTreeSet<IpAddr>) -> Result<BTreeSet<String>> {
    if addresses.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Nothing else runs yet: the daemon's own runtime begins when its privileges are given up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime
        .block_on(ports(addresses))
        .context("cannot find the interfaces of the services")
}

fn tell<'a>(interfaces: impl Iterator<Item = &'a String>) {
    let names: Vec<_> = interfaces.map(String::as_str).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        info!("by the routes, packets of the services come and go by {names} (see --interface)");
    }
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

/// Looks whether the interfaces still are those that the program was attached to.
pub(super) fn following(
    interfaces: Arc<Mutex<Interfaces>>,
) -> impl FnMut(&Control) + Send + 'static {
    move |control| {
        own_addresses::follow(&control.maps().config);
        let mut interfaces = interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let Interfaces {
            data_path,
            attachments,
            ..
        } = &mut *interfaces;
        if data_path.follow(attachments) {
            control.set_interfaces(interfaces.describe());
        }
    }
}
