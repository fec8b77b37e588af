//! The interfaces that the programs run on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lvs_api::model::ServiceId;
use lvs_dataplane::device::{Netdev, Placement};
use lvs_dataplane::kernel::{DataPath, KernelError, PacketRecords, ProgramLine};
use lvs_dataplane::neighbour::{
    Followed, Interfaces as LinkTable, ServiceInterfaces, service_interfaces,
};
use nix::net::if_::if_indextoname;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::settings::Settings;
use super::stop::ended;
use crate::config_file::File;
use crate::control::Control;

/// Interval at which services without a known interface are looked for.
const PERIOD: Duration = Duration::from_secs(1);
/// Periods after which those are looked for again that nothing led to, or that could not be attached to.
const AGAIN: u32 = 5;

/// The programs on their interfaces.
pub(super) struct Interfaces {
    placement: Placement,
    /// The operator named them: there are no others.
    named: bool,
    /// Names of those by which packets of the services come and go, by the routes of the last lookup.
    known: BTreeSet<String>,
    /// The reasons why the programs do not run on an interface where packets of the services come and go.
    failed: BTreeMap<String, String>,
    /// Indices of the interfaces by which packets leave for real servers.
    hops: BTreeSet<u32>,
}

impl Interfaces {
    /// Attaches to the interfaces named. Where none is, to those of the data path that was found, and to
    /// those where packets of these addresses come and go.
    pub(super) fn attach(
        data_path: DataPath,
        settings: &Settings,
        addresses: BTreeSet<IpAddr>,
        hops: BTreeSet<u32>,
    ) -> Result<Self> {
        let known = find(addresses);
        let mut placement = Placement::new(data_path, settings.modes.clone());
        let mut wanted = settings.interfaces.clone();
        if wanted.is_empty() {
            wanted = placement.found()?;
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
            warn!(
                "no interface is named (--interface): nothing is forwarded until the routes of services name some"
            );
        }
        placement.start(&wanted, &hops)?;
        let mut interfaces = Self {
            placement,
            named: !settings.interfaces.is_empty(),
            known: BTreeSet::new(),
            failed: BTreeMap::new(),
            hops,
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
        let runs = |name: &&String| self.placement.includes(name);
        let new: Vec<_> = known.iter().filter(|name| !runs(name)).cloned().collect();
        if self.named {
            for name in new.iter().filter(|name| !self.known.contains(*name)) {
                warn!(
                    "by the routes, packets of the services come and go by {name}, too: what comes in there \
                     is not forwarded, for --interface does not name it"
                );
            }
            self.known.extend(known);
            return false;
        }
        log(new.iter().filter(|name| !self.known.contains(*name)));
        self.known.extend(known);
        let mut attached = false;
        for name in new {
            match self.placement.add(&name, &self.hops) {
                Ok(()) => {
                    self.failed.remove(&name);
                    attached = true;
                }
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::from(error));
                    if self.failed.get(&name) != Some(&error) {
                        warn!("{error}");
                        self.failed.insert(name, error);
                    }
                }
            }
        }
        attached
    }

    /// True if the programs run on all of these interfaces that they may run on.
    fn has_all(&self, names: &BTreeSet<String>) -> bool {
        self.named || names.iter().all(|name| self.placement.includes(name))
    }

    /// Decides anew where the programs run. Returns the interfaces that take frames from an XDP program.
    pub(super) fn update(
        &mut self,
        control: &Control,
        told: Option<Arc<LinkTable>>,
        hops: BTreeSet<u32>,
    ) -> BTreeSet<u32> {
        self.hops = hops;
        if self.placement.update(told, &self.hops) {
            self.publish(control);
        }
        self.placement.senders()
    }

    /// Packets are about to leave by these interfaces, too, and replies may come by them.
    pub(super) fn expect(&mut self, control: &Control, hops: BTreeSet<u32>) {
        if !hops.is_subset(&self.hops) {
            let names = hops.iter().filter_map(|&index| if_indextoname(index).ok());
            let names = names.map(|name| name.to_string_lossy().into_owned());
            let new = names
                .filter(|name| !name.is_empty() && !self.known.contains(name))
                .collect();
            if self.attach_missing(new) {
                self.publish(control);
            }
            self.hops.extend(hops);
            let hops = self.hops.clone();
            self.update(control, None, hops);
        }
    }

    /// Publishes the interfaces for people.
    pub(super) fn publish(&self, control: &Control) {
        control.set_interfaces(self.placement.describe(), self.placement.lost());
    }

    /// The interfaces that take frames from an XDP program.
    pub(super) fn senders(&self) -> BTreeSet<u32> {
        self.placement.senders()
    }

    /// The family of the kernel that tells of changes, if it has one.
    pub(super) const fn netdev(&self) -> Option<Netdev> {
        self.placement.netdev()
    }

    /// Has the program handle a frame once more that came by this interface.
    pub(super) fn send_again(&self, interface: u32, frame: &[u8]) -> Result<(), KernelError> {
        self.placement.send_again(interface, frame)
    }

    /// Runs the programs that record packets.
    pub(super) fn start_tracing(&mut self) -> Result<PacketRecords, KernelError> {
        self.placement.start_tracing()
    }

    /// The lines that the programs logged since the last time.
    pub(super) fn read_log(&mut self) -> Vec<ProgramLine> {
        self.placement.read_log()
    }

    /// Runs the programs that record nothing again.
    pub(super) fn stop_tracing(&mut self) {
        self.placement.stop_tracing();
    }

    /// The data path, for its removal.
    pub(super) fn into_data_path(self) -> DataPath {
        self.placement.into_data_path()
    }
}

/// A function that attaches the program for the packets of probes to an interface.
pub(super) fn probe_attacher(
    interfaces: Arc<Mutex<Interfaces>>,
) -> impl Fn(&str) -> Result<(), KernelError> + Send + Sync {
    move |interface| {
        let mut interfaces = interfaces.lock();
        interfaces.placement.data_path().send_probes(interface)
    }
}

/// Attaches the program where packets of these addresses come and go. Returns those of the addresses that have an
/// interface; none, if the program does not run on all of these interfaces.
pub(super) async fn attach_missing(
    interfaces: &Arc<Mutex<Interfaces>>,
    control: &Arc<Control>,
    addresses: BTreeSet<IpAddr>,
) -> BTreeSet<IpAddr> {
    let ServiceInterfaces { names, found } = match service_interfaces(addresses).await {
        Ok(services) => services,
        Err(error) => {
            warn!("cannot find the interfaces of the services: {error}");
            return BTreeSet::new();
        }
    };
    let (interfaces, control) = (Arc::clone(interfaces), Arc::clone(control));
    let attach = move || {
        let mut interfaces = interfaces.lock();
        if interfaces.attach_missing(names.clone()) {
            interfaces.publish(&control);
        }
        interfaces.has_all(&names)
    };
    match tokio::task::spawn_blocking(attach).await {
        Ok(true) => found,
        Ok(false) => BTreeSet::new(),
        Err(error) => {
            error!("the interfaces of the services are not attached to: {error}");
            BTreeSet::new()
        }
    }
}

/// Attaches the program where packets of services come and go that are added by hand, at the latest a second after
/// that, or a few seconds after a route leads to them. The addresses of real servers are `followed`.
pub(super) async fn follow(
    interfaces: Arc<Mutex<Interfaces>>,
    control: Arc<Control>,
    followed: watch::Receiver<Followed>,
    stopped: watch::Receiver<()>,
) {
    let mut end = std::pin::pin!(ended(stopped));
    let mut timer = interval(PERIOD);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = KnownAddresses::default();
    for period in (0..AGAIN).cycle() {
        tokio::select! {
            () = &mut end => return,
            _ = timer.tick() => {}
        }
        let (services, seen) = (Arc::clone(&control), known.services.clone());
        let services = tokio::task::spawn_blocking(move || {
            let director = services.director();
            let generation = director.identities();
            let known = seen.filter(|(seen, _)| *seen == generation);
            known.unwrap_or_else(|| (generation, director.virtual_addresses()))
        });
        let Ok(services) = services.await else {
            continue;
        };
        let mut new = known.update(services, &followed.borrow());
        if period == 0 {
            new.extend(&known.open);
        }
        if !new.is_empty() {
            let found = attach_missing(&interfaces, &control, new).await;
            known.found(found);
        }
    }
}

/// Addresses of services and real servers whose interfaces were looked for.
#[derive(Default)]
struct KnownAddresses {
    /// The addresses of the services, with the number of their changes.
    services: Option<(u64, Arc<BTreeSet<IpAddr>>)>,
    /// Number of changes of the addresses of real servers.
    changes: u64,
    /// Those where the programs run.
    attached: BTreeSet<IpAddr>,
    /// Those that nothing led to, or that could not be attached to.
    open: BTreeSet<IpAddr>,
}

impl KnownAddresses {
    /// Follows the addresses; those that are new.
    fn update(
        &mut self,
        services: (u64, Arc<BTreeSet<IpAddr>>),
        servers: &Followed,
    ) -> BTreeSet<IpAddr> {
        let same = self
            .services
            .as_ref()
            .is_some_and(|(of, _)| *of == services.0);
        let changed = servers.changed_since(self.changes).filter(|_| same);
        let changed: Vec<_> = if let Some(changed) = changed {
            changed.collect()
        } else {
            let before = self.attached.iter().chain(&self.open);
            let now = services.1.iter().chain(servers.addresses());
            before.chain(now).copied().collect()
        };
        self.changes = servers.changes();
        let mut new = BTreeSet::new();
        for address in changed {
            if !services.1.contains(&address) && !servers.addresses().contains(&address) {
                self.attached.remove(&address);
                self.open.remove(&address);
            } else if !self.attached.contains(&address) && self.open.insert(address) {
                new.insert(address);
            }
        }
        self.services = Some(services);
        new
    }

    /// The programs run where packets of these addresses come and go.
    fn found(&mut self, found: BTreeSet<IpAddr>) {
        self.open.retain(|address| !found.contains(address));
        self.attached.extend(found);
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
        .map(|services| services.names)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn set(last: impl IntoIterator<Item = u8>) -> BTreeSet<IpAddr> {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        last.into_iter().map(address).collect()
    }

    #[test]
    fn only_new_addresses_are_looked_for() {
        let services = |generation, last: &[u8]| (generation, Arc::new(set(last.iter().copied())));
        let mut servers = Followed::default();
        let mut known = KnownAddresses::default();
        servers.extend(&set(1..=3));
        assert_eq!(known.update(services(1, &[9]), &servers), set([1, 2, 3, 9]));
        known.found(set([1, 2, 9]));
        assert_eq!(known.open, set([3]), "to be looked for again");
        assert_eq!(known.update(services(1, &[9]), &servers), set([]));
        servers.extend(&set([4]));
        assert_eq!(known.update(services(1, &[9]), &servers), set([4]));
        servers.set(|| set([1, 4]).into_iter());
        assert_eq!(known.update(services(1, &[9]), &servers), set([]));
        assert_eq!((&known.attached, &known.open), (&set([1, 9]), &set([4])));
        // One that comes back is new, and one that is a service's, too, stays.
        servers.set(|| set([1, 2, 4]).into_iter());
        assert_eq!(known.update(services(2, &[1, 8]), &servers), set([2, 8]));
        servers.set(|| set([]).into_iter());
        assert_eq!(known.update(services(2, &[1, 8]), &servers), set([]));
        assert_eq!((&known.attached, &known.open), (&set([1]), &set([8])));
    }
}
