//! Periodic tasks of the daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use lvs_api::health::Event;
use lvs_api::model::{ServerId, ServiceId};
use lvs_dataplane::clock;
use lvs_dataplane::connections::Occupation;
use lvs_dataplane::fill::Fill;
use lvs_dataplane::neighbour::{Links, Neighbours, RouteChanges};
use lvs_dataplane::netlink::Requests;
use lvs_dataplane::open_connections::OpenConnections;
use lvs_dataplane::sweep::Sweeper;
use lvs_process::children;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{debug, error, warn};

use super::interfaces::Interfaces;
use super::silent_servers::SilentServers;
use super::{
    carrier, client_routes, devices, early_fragments, equal_cost, fill, interfaces, next_hops,
    own_events, packet_trace, program_log, sources, stop, systemd,
};
use crate::control::Control;

/// Interval at which repeated SYNs, which the data path counts, are read.
const SYN_RETRIES: Duration = Duration::from_millis(100);

/// Interval at which the interfaces are asked for frames that they did not send.
const LOST_FRAMES: Duration = Duration::from_secs(1);

/// Interval at which the source addresses of full NAT are looked after.
const SOURCES: Duration = Duration::from_secs(3);

/// Starts all tasks; they end when `stopped` is closed. `program_log`: the programs have a log of their own.
pub(super) fn start(
    control: &Arc<Control>,
    interfaces: &Arc<Mutex<Interfaces>>,
    stopped: &watch::Receiver<()>,
    program_log: bool,
) -> Result<Vec<JoinHandle<()>>> {
    let links = Links {
        senders: watch::Sender::new(Arc::new(interfaces.lock().senders())),
        ..Links::default()
    };
    let followed = control.director().followed();
    let (neighbours, changes) = Neighbours::start(&links, followed.clone())?;
    let services = interfaces::follow(
        Arc::clone(interfaces),
        Arc::clone(control),
        followed,
        stopped.clone(),
    );
    let own_events = own_events::follow(
        Arc::clone(control),
        links.interfaces.subscribe(),
        stopped.clone(),
    );
    let carrier = carrier::follow(
        Arc::clone(control),
        links.interfaces.subscribe(),
        stopped.clone(),
    );
    let routes_changed = Arc::new(Notify::new());
    let mut tasks = vec![
        tokio::spawn(own_events),
        tokio::spawn(carrier),
        tokio::spawn(services),
        tokio::spawn(next_hops::keep(neighbours, stopped.clone())),
        tokio::spawn(next_hops::apply_changes(
            changes,
            Arc::clone(control),
            Arc::clone(interfaces),
        )),
        tokio::spawn(devices::follow(
            links,
            Arc::clone(interfaces),
            Arc::clone(control),
            stopped.clone(),
        )),
        spawn_every(Duration::from_secs(1), control, stopped.clone(), sweep()),
        tokio::spawn(client_routes::follow(
            RouteChanges::open()?,
            Arc::clone(&routes_changed),
            Arc::clone(control),
            stopped.clone(),
        )),
        tokio::spawn(equal_cost::follow(
            Requests::open()?,
            routes_changed,
            Arc::clone(control),
            stopped.clone(),
        )),
        tokio::spawn(client_routes::find_neighbours(
            Requests::open()?,
            Arc::clone(control),
            stopped.clone(),
        )),
        tokio::spawn(client_routes::confirm_neighbours(
            Requests::open()?,
            Arc::clone(control),
            stopped.clone(),
        )),
        early_fragments::hold(Arc::clone(control), Arc::clone(interfaces), stopped.clone()),
        spawn_every(
            Duration::from_secs(2),
            control,
            stopped.clone(),
            |control| {
                control.director().sample();
            },
        ),
        spawn_every(LOST_FRAMES, control, stopped.clone(), |control| {
            control.maps().lost_frames.follow(Instant::now());
        }),
        spawn_every(SOURCES, control, stopped.clone(), sources::watcher()),
        spawn_every(SYN_RETRIES, control, stopped.clone(), silent_servers()),
        tokio::spawn(packet_trace::serve(
            Arc::clone(control),
            Arc::clone(interfaces),
            stopped.clone(),
        )),
        tokio::spawn(collect_orphans(stopped.clone())),
    ];
    if program_log {
        let log = program_log::follow(Arc::clone(interfaces), stopped.clone());
        tasks.push(tokio::spawn(log));
    }
    if let Some(period) = systemd::watchdog_period() {
        tasks.push(spawn_every(period, control, stopped.clone(), |control| {
            systemd::watchdog(control);
        }));
    }
    Ok(tasks)
}

/// Frees expired connections, then publishes what follows from the sweep: the tables' occupation, deleted servers
/// without connections.
fn sweep() -> impl FnMut(&Control) + Send + 'static {
    let (mut sweeper4, mut sweeper6) = (Sweeper::default(), Sweeper::default());
    let (mut fill4, mut fill6) = (Fill::default(), Fill::default());
    let mut open = OpenConnections::default();
    move |control| {
        let maps = control.maps();
        let generation = maps
            .config
            .read(0)
            .map_or(0, |config| config.route_generation);
        sweeper4.set_generation(generation);
        sweeper6.set_generation(generation);
        let (loads, clients) = (&maps.loads, &maps.clients);
        let counted = (clients, &mut open);
        let swept4 = sweeper4.sweep_counting(
            &maps.connections4,
            loads,
            counted,
            &maps.calls,
            clock::now(),
        );
        let counted = (clients, &mut open);
        let swept6 = sweeper6.sweep_counting(
            &maps.connections6,
            loads,
            counted,
            &maps.calls,
            clock::now(),
        );
        open.correct(clients);
        let expired = swept4.expired + swept6.expired;
        let abandoned = swept4.abandoned + swept6.abandoned;
        if expired + abandoned > 0 {
            debug!(expired, abandoned, "swept the connection tables");
        }
        let (table, holdings) = (&maps.connections4, sweeper4.holdings());
        fill::follow(control, &mut fill4, table, swept4.live, holdings);
        let (table, holdings) = (&maps.connections6, sweeper6.holdings());
        fill::follow(control, &mut fill6, table, swept6.live, holdings);
        let macs = sweeper4.client_macs().union(sweeper6.client_macs());
        control.set_client_macs(macs.copied().collect());
        control.set_occupation(Occupation {
            entries4: swept4.live,
            entries6: swept6.live,
            crowds: [fill4.crowd(), fill6.crowd()],
        });
        control.director().tick();
    }
}

/// Probes servers at once whose clients repeat their SYNs, and tells of those that never answer.
fn silent_servers() -> impl FnMut(&Control) + Send + 'static {
    let mut silent = SilentServers::default();
    move |control| {
        let retries = control.director().syn_retries();
        if !retries.is_empty() {
            debug!("SYNs are repeated or refused: {retries:?}");
        }
        for (service, server, text) in silent.record(&retries, Instant::now()) {
            let subject = format!("{} of {}", server.0, service_name(&service));
            let text = format!("{subject} {text}");
            warn!("{text}");
            let event = Event {
                service: Some(service),
                server: Some(server.0),
                ..Event::of_director(
                    "unanswered",
                    None,
                    "clients' SYNs are not answered",
                    text.clone(),
                )
            };
            control.publish(Arc::new(event));
            control.set_silent(service, server.0, text);
        }
        control.keep_silent(|service, server| silent.is_reported(service, ServerId(server)));
        if let Some(controller) = control.controller() {
            controller.observe(retries);
        }
    }
}

/// A virtual service for people.
fn service_name(id: &ServiceId) -> String {
    match id {
        ServiceId::Address { address, .. } => address.to_string(),
        ServiceId::Mark { mark, .. } => format!("fwm {mark}"),
    }
}

/// Collects what health checks and commands leave behind.
async fn collect_orphans(stopped: watch::Receiver<()>) {
    tokio::select! {
        Err(error) = children::collect_orphans() => {
            warn!("processes that a command leaves behind are not collected: {error}");
        }
        () = stop::ended(stopped) => {}
    }
}

/// Runs work at an interval, off the runtime's threads, one run at a time.
fn spawn_every(
    period: Duration,
    control: &Arc<Control>,
    stopped: watch::Receiver<()>,
    mut work: impl FnMut(&Control) + Send + 'static,
) -> JoinHandle<()> {
    let control = Arc::clone(control);
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut end = std::pin::pin!(stop::ended(stopped));
        loop {
            tokio::select! {
                () = &mut end => return,
                _ = timer.tick() => {}
            }
            let control = Arc::clone(&control);
            let run = tokio::task::spawn_blocking(move || {
                work(&control);
                work
            });
            match run.await {
                Ok(done) => work = done,
                Err(error) => {
                    error!("a task of the daemon failed: {error}");
                    return;
                }
            }
        }
    })
}
