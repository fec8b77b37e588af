//! The interfaces that the program runs on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use lvs_api::model::ServiceId;
use lvs_api::protocol::Interface;
use lvs_dataplane::kernel::{Attachment, DataPath, KernelError};
use lvs_dataplane::neighbour::service_interfaces;
use lvs_dataplane::{own_addresses, source_checks};
use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::file::File;
use crate::control::Control;

/// The program on its interfaces.
pub(super) struct Interfaces {
    data_path: DataPath,
    attachments: Vec<Attachment>,
    /// The operator named them: there are no others.
    named: bool,
    /// Names of those by which packets of the services come and go, by the routes of the last lookup.
    known: BTreeSet<String>,
}

impl Interfaces {
    /// Attaches to the interfaces named. Where none is, to those of the data path that was found, and to
    /// those where packets of these addresses come and go.
    pub(super) fn attach(
        mut data_path: DataPath,
        named: &[String],
        addresses: BTreeSet<IpAddr>,
    ) -> Result<Self> {
        let known = find(addresses);
        let mut wanted = named.to_vec();
        if wanted.is_empty() {
            wanted = data_path.attached()?;
            wanted.retain(|name| exists(name));
        }
        if wanted.is_empty() {
            let known = known
                .as_ref()
                .map_err(|error| anyhow!("{error:#}; name the interfaces with --interface"))?;
            log(known.iter());
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
            interfaces.attach_missing(known);
        }
        Ok(interfaces)
    }

    /// Attaches to those of these interfaces, by which packets of the services come and go, where the program
    /// does not run yet. Failures are logged. True if it attached to any.
    fn attach_missing(&mut self, known: BTreeSet<String>) -> bool {
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
        log(new.iter());
        let before = self.attachments.len();
        for name in new {
            match self.data_path.attach_to(&name) {
                Ok(attachment) => self.attachments.push(attachment),
                Err(error) => warn!("{:#}", anyhow::Error::from(error)),
            }
        }
        self.attachments.len() > before
    }

    /// The interfaces, for people.
    pub(super) fn describe(&self) -> Vec<Interface> {
        let interface = |attachment: &Attachment| Interface {
            name: attachment.interface.clone(),
            mode: attachment.mode.name().to_owned(),
        };
        self.attachments.iter().map(interface).collect()
    }

    /// The data path, for its removal.
    pub(super) fn into_data_path(self) -> DataPath {
        self.data_path
    }
}

/// A function that attaches the program for the packets of probes to an interface.
pub(super) fn probe_attacher(
    interfaces: Arc<Mutex<Interfaces>>,
) -> impl Fn(&str) -> Result<(), KernelError> + Send + Sync {
    move |interface| {
        let mut interfaces = interfaces.lock();
        interfaces.data_path.send_probes(interface)
    }
}

/// Attaches the program where packets of these addresses come and go.
pub(super) async fn attach_missing(
    interfaces: &Arc<Mutex<Interfaces>>,
    control: &Arc<Control>,
    addresses: BTreeSet<IpAddr>,
) {
    let known = match service_interfaces(addresses).await {
        Ok(known) => known,
        Err(error) => return warn!("cannot find the interfaces of the services: {error}"),
    };
    let (interfaces, control) = (Arc::clone(interfaces), Arc::clone(control));
    let attach = move || {
        let mut interfaces = interfaces.lock();
        if interfaces.attach_missing(known) {
            control.set_interfaces(interfaces.describe());
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(attach).await {
        error!("the interfaces of the services are not attached to: {error}");
    }
}

/// Finds the interfaces where packets of these addresses come and go; without addresses, none.
fn find(addresses: BTreeSet<IpAddr>) -> Result<BTreeSet<String>> {
    if addresses.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Nothing else runs yet: the daemon's own runtime begins when its privileges are given up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime
        .block_on(service_interfaces(addresses))
        .context("cannot find the interfaces of the services")
}

fn log<'a>(interfaces: impl Iterator<Item = &'a String>) {
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

/// A task that attaches again where an interface was made anew, and follows the own addresses.
pub(super) fn follower(
    interfaces: Arc<Mutex<Interfaces>>,
) -> impl FnMut(&Control) + Send + 'static {
    move |control| {
        own_addresses::follow(control.maps());
        source_checks::follow(control.maps());
        source_checks::let_loopback_forward();
        let mut interfaces = interfaces.lock();
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
