//! State of the daemon for requests and tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lvs_api::health::{Event, ServerByHand};
use lvs_api::model::{Family, ServiceId};
use lvs_api::peers::PeersStatus;
use lvs_api::protocol::{Interface, LostFrames, Refusal, Status, Table, Tracing};
use lvs_common::abi::Mac;
use lvs_dataplane::connections::Occupation;
use lvs_dataplane::director::{Director, service_id};
use lvs_dataplane::kernel::Maps;
use lvs_dataplane::not_sent::{Counts, NotSent};
use lvs_failover::role::Roles;
use lvs_health::controller::Handle;
use lvs_replication::ipvs::{SyncDaemons, SyncOptions};
use lvs_replication::peer::Peers;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use super::tracer::Tracer;
use crate::agreement::Agreement;

/// Events that wait for a reader at most.
const EVENTS: usize = 64;

/// Threads that list connections at most.
const LISTINGS: usize = 2;

/// A request about the configuration.
#[derive(Debug)]
pub(crate) enum Reload {
    /// The file is read again; answered with what is wrong with it.
    File(oneshot::Sender<Result<(), String>>),
    /// A real server is added or removed by hand.
    ByHand(ServerByHand, oneshot::Sender<Result<(), Refusal>>),
}

/// State of the daemon, from which requests are answered.
pub(crate) struct Control {
    director: Arc<Mutex<Director>>,
    maps: Arc<Maps>,
    sync: SyncDaemons,
    peers: OnceLock<Arc<Peers>>,
    roles: Arc<Roles>,
    agreement: Agreement,
    keep_addresses: bool,
    interfaces: Mutex<(Vec<Interface>, Vec<LostFrames>)>,
    not_sent: Mutex<NotSent>,
    client_macs: Mutex<Arc<BTreeSet<Mac>>>,
    /// Listings of connections that go on at a time: other requests are to be answered, too.
    listings: Semaphore,
    /// As of the last sweep, and when that was.
    occupation: Mutex<(Occupation, Option<Instant>)>,
    reloads: mpsc::Sender<Reload>,
    /// The last attempt to read the configuration, and when that in effect was read (seconds since 1970).
    config_read: Mutex<(Option<bool>, u64)>,
    name_troubles: Mutex<BTreeMap<String, String>>,
    /// The reasons why real servers answer no client.
    silent: Mutex<HashMap<(ServiceId, SocketAddr), String>>,
    /// Those who ask to trace packets, and the task that serves them until it took this.
    tracers: (mpsc::Sender<Tracer>, Mutex<Option<mpsc::Receiver<Tracer>>>),
    /// The number of those who trace packets, and the begin of the oldest of their traces.
    tracing: Mutex<Option<(usize, Instant)>>,
    controller: OnceLock<Handle>,
    /// Events that are not the controller's.
    events: broadcast::Sender<Arc<Event>>,
    /// Whoever follows events has them to the end: the daemon is ending.
    ending: watch::Sender<bool>,
}

impl Control {
    /// State of a daemon with this director. `keep_addresses`: its virtual addresses stay when it ends. Requests to
    /// read its configuration again go to `reloads`.
    pub(crate) fn new(
        director: Director,
        roles: Roles,
        keep_addresses: bool,
        options: SyncOptions,
        reloads: mpsc::Sender<Reload>,
    ) -> Self {
        let maps = Arc::clone(director.maps());
        let director = Arc::new(Mutex::new(director));
        let (tracers, asked) = mpsc::channel(1);
        Self {
            sync: SyncDaemons::new(Arc::clone(&director), Arc::clone(&maps), options),
            peers: OnceLock::new(),
            maps,
            director,
            roles: Arc::new(roles),
            agreement: Agreement::default(),
            keep_addresses,
            interfaces: Mutex::default(),
            occupation: Mutex::default(),
            not_sent: Mutex::default(),
            client_macs: Mutex::default(),
            listings: Semaphore::new(LISTINGS),
            reloads,
            config_read: Mutex::default(),
            name_troubles: Mutex::default(),
            silent: Mutex::default(),
            tracers: (tracers, Mutex::new(Some(asked))),
            tracing: Mutex::default(),
            controller: OnceLock::new(),
            events: broadcast::Sender::new(EVENTS),
            ending: watch::Sender::new(false),
        }
    }

    /// Has somebody trace packets.
    pub(super) async fn trace(&self, tracer: Tracer) {
        // Without the task that serves them, who asked hears of it as the tracer is dropped.
        let _ = self.tracers.0.send(tracer).await;
    }

    /// Those who ask to trace packets, for the task that serves them.
    pub(crate) fn take_tracers(&self) -> Option<mpsc::Receiver<Tracer>> {
        self.tracers.1.lock().take()
    }

    /// Sets the number of those who trace packets, and the begin of the oldest of their traces; none if nobody does.
    pub(crate) fn set_tracing(&self, tracing: Option<(usize, Instant)>) {
        *self.tracing.lock() = tracing;
    }

    fn tracing(&self) -> Option<Tracing> {
        let (tracers, begun) = (*self.tracing.lock())?;
        let age = begun.elapsed();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(Tracing {
            tracers,
            since: since.unwrap_or_default().saturating_sub(age).as_secs(),
            age: age.as_secs(),
        })
    }

    /// Controller of the health checks, if there are any.
    pub(crate) fn controller(&self) -> Option<&Handle> {
        self.controller.get()
    }

    /// Sets the controller of the health checks, once.
    pub(crate) fn set_controller(&self, controller: Handle) {
        let _ = self.controller.set(controller);
    }

    /// Publishes an event that is not the controller's.
    pub(crate) fn publish(&self, event: Arc<Event>) {
        // Nobody may be listening.
        drop(self.events.send(event));
    }

    /// Ends the answers that would go on as long as the daemon.
    pub(super) fn end_streams(&self) {
        self.ending.send_replace(true);
    }

    /// Follows whether such answers are to end.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Receives the events that are not the controller's from now on.
    pub(super) fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Locks the director, the single writer of the tables. Its holder may wait for the kernel: never lock it on
    /// the runtime's threads, nor hold it across an await.
    pub(crate) fn director(&self) -> MutexGuard<'_, Director> {
        self.director.lock()
    }

    /// The maps.
    pub(crate) const fn maps(&self) -> &Arc<Maps> {
        &self.maps
    }

    /// Connection replication in the messages of the kernel's IPVS.
    pub(crate) const fn sync(&self) -> &SyncDaemons {
        &self.sync
    }

    /// Sessions with other directors, if there are any.
    pub(crate) fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.get()
    }

    /// Status of the sessions with other directors, and what they have alike with this one.
    pub(crate) fn peers_status(&self) -> PeersStatus {
        let Some(peers) = self.peers() else {
            return PeersStatus::default();
        };
        let mut status = peers.status();
        for peer in &mut status.peers {
            let instance = peer.instance.as_deref().and_then(|it| it.parse().ok());
            let not_taken = peer.received.as_ref().map_or(0, |it| it.not_taken);
            peer.comparison = instance.and_then(|it| self.agreement.comparison(it, not_taken));
        }
        status
    }

    /// Sets the sessions with other directors, once.
    pub(crate) fn set_peers(&self, peers: Arc<Peers>) {
        let _ = self.peers.set(peers);
    }

    /// The director, for tasks that outlive a request.
    pub(crate) const fn shared_director(&self) -> &Arc<Mutex<Director>> {
        &self.director
    }

    /// Sends a request to read the configuration again. `None`: the daemon is stopping.
    pub(super) async fn reload(&self) -> Option<Result<(), String>> {
        let (answer, outcome) = oneshot::channel();
        self.reloads.send(Reload::File(answer)).await.ok()?;
        outcome.await.ok()
    }

    /// Sends a real server that is added or removed by hand. `None`: the daemon is stopping.
    pub(super) async fn server_by_hand(&self, change: ServerByHand) -> Option<Result<(), Refusal>> {
        let (answer, outcome) = oneshot::channel();
        self.reloads
            .send(Reload::ByHand(change, answer))
            .await
            .ok()?;
        outcome.await.ok()
    }

    /// Sets what there is to tell about a real server that answers no client.
    pub(crate) fn set_silent(&self, service: ServiceId, server: SocketAddr, text: String) {
        self.silent.lock().insert((service, server), text);
    }

    /// Keeps only those real servers of which this is still true.
    pub(crate) fn keep_silent(&self, still: impl Fn(&ServiceId, SocketAddr) -> bool) {
        let mut silent = self.silent.lock();
        silent.retain(|(service, server), _| still(service, *server));
    }

    /// Real servers of a service that answer no client.
    pub(super) fn silent(&self, service: &ServiceId) -> Vec<String> {
        let silent = self.silent.lock();
        let of_service = silent.iter().filter(|((of, _), _)| of == service);
        of_service.map(|(_, text)| text.clone()).collect()
    }

    /// Notes an attempt to read the configuration.
    pub(crate) fn set_config_read(&self, successful: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut read = self.config_read.lock();
        read.0 = Some(successful);
        if successful {
            read.1 = now.unwrap_or_default().as_secs();
        }
    }

    /// The last attempt to read the configuration, none without one, and when that in effect was read.
    pub(super) fn config_read(&self) -> (Option<bool>, u64) {
        *self.config_read.lock()
    }

    /// Sets the names that no name server answers for as it should, and why.
    pub(crate) fn set_name_troubles(&self, troubles: BTreeMap<String, String>) {
        *self.name_troubles.lock() = troubles;
    }

    /// Names that no name server answers for as it should, and why.
    pub(super) fn name_troubles(&self) -> BTreeMap<String, String> {
        self.name_troubles.lock().clone()
    }

    /// Turns of those who list connections.
    pub(super) const fn listings(&self) -> &Semaphore {
        &self.listings
    }

    /// The role of this director.
    pub(crate) const fn roles(&self) -> &Arc<Roles> {
        &self.roles
    }

    /// True if the virtual addresses stay when the daemon ends.
    pub(crate) const fn keeps_addresses(&self) -> bool {
        self.keep_addresses
    }

    /// The agreement with the peers.
    pub(crate) const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Sets the interfaces that the program runs on, and the frames that were lost on their way out.
    pub(crate) fn set_interfaces(&self, interfaces: Vec<Interface>, lost: Vec<LostFrames>) {
        *self.interfaces.lock() = (interfaces, lost);
    }

    /// The interfaces that the program runs on, and the frames that were lost on their way out.
    pub(crate) fn interfaces(&self) -> (Vec<Interface>, Vec<LostFrames>) {
        self.interfaces.lock().clone()
    }

    /// True if a sweep has met what peers have sent as a whole.
    pub(super) fn is_occupation_current(&self) -> bool {
        let swept = self.occupation.lock().1;
        let bulk = self.peers().and_then(|peers| peers.last_bulk_sync());
        bulk.is_none_or(|bulk| swept.is_some_and(|swept| swept > bulk))
    }

    /// Sets the number of connections that the last sweep met.
    pub(crate) fn set_occupation(&self, occupation: Occupation) {
        *self.occupation.lock() = (occupation, Some(Instant::now()));
    }

    /// Sets the Ethernet addresses that replies go to, by the connections that the last sweep met.
    pub(crate) fn set_client_macs(&self, macs: BTreeSet<Mac>) {
        *self.client_macs.lock() = Arc::new(macs);
    }

    /// The Ethernet addresses that replies go to.
    pub(crate) fn client_macs(&self) -> Arc<BTreeSet<Mac>> {
        Arc::clone(&self.client_macs.lock())
    }

    /// Packets by verdict, those of frames that leave less the ones that were not sent. To be read every second, so
    /// that these are taken off the right verdicts.
    pub(crate) fn verdicts(&self) -> Counts {
        self.not_sent.lock().read(&self.maps)
    }

    /// Status of the daemon and its data path.
    pub(super) fn status(&self) -> Status {
        let (occupation, _) = *self.occupation.lock();
        let unresolved = self.director().unresolved();
        let missing_sources = self.director().foreign_sources().into_iter().collect();
        let [crowd4, crowd6] = occupation.crowds;
        let (interfaces, lost) = self.interfaces();
        let table = |family, entries, capacity: u32, crowd: Option<u32>| Table {
            family,
            entries,
            capacity: u64::from(capacity),
            over_share: crowd.and_then(|service| service_id(&self.maps, service)),
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            abi: lvs_common::abi::ABI_VERSION,
            pid: std::process::id(),
            interfaces,
            tables: vec![
                table(
                    Family::Ipv4,
                    occupation.entries4,
                    self.maps.connections4.len(),
                    crowd4,
                ),
                table(
                    Family::Ipv6,
                    occupation.entries6,
                    self.maps.connections6.len(),
                    crowd6,
                ),
            ],
            unresolved,
            missing_sources,
            lost,
            tracing: self.tracing(),
        }
    }
}
