//! The tasks of a daemon, and its main loop: signals, reloads and changed files.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lvs_dataplane::kernel::memory;
use lvs_failover::role::start::first_role;
use lvs_failover::role::stop::step_down;
use lvs_http::Http;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info};

use super::active_config::ActiveConfig;
use super::health_checks::HealthChecks;
use super::settings::Settings;
use super::start::Started;
use super::{file_changes, next_hops, peers, stop, systemd, tasks};
use crate::control::{self, Control, OwnConsent, Socket};

/// Longest wait at the end for a client that keeps its connection open.
const OPEN_CONNECTIONS: Duration = Duration::from_secs(2);

/// Reason for the end of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// SIGTERM or SIGINT.
    Stopped,
    /// SIGUSR2: another daemon takes over.
    HandedOver,
}

/// Runs the tasks of a daemon until a signal ends it.
pub(super) async fn serve(
    settings: &Settings,
    started: Started,
    ready: impl FnOnce(),
) -> Result<End> {
    let Started {
        control,
        services,
        service_path,
        check_user,
        peers,
        socket,
        http,
        interfaces,
        mut reloads,
        files,
        discovery,
        fresh: _,
    } = started;
    let mut signals = Signals::listen()?;
    let (stopper, stopped) = watch::channel(());
    let tasks = tasks::start(
        &control,
        &interfaces,
        &stopped,
        settings.options.program_log != 0,
    )?;
    let mut end = None;
    let mut config = ActiveConfig::new(&control, settings, interfaces, files, discovery);
    if let Some(services) = services {
        config.follow(&services.globals);
        let checks = HealthChecks::start(
            &control,
            services,
            settings.overrides(),
            service_path,
            check_user,
        )
        .await?;
        tokio::select! {
            () = checks.first_outcomes() => {}
            ended = signals.ends.next() => end = Some(ended),
        }
        config.checks = Some(checks);
    }
    if let Some(peers) = peers {
        control.roles().stand_by();
        peers::start(&control, peers).await?;
    }
    next_hops::wait_resolved(&control).await;
    // Last: from now on packets that follow the addresses are forwarded.
    begin_role(&control).await;
    let http = http.map(Arc::new);
    let servers = answer_requests(settings, &control, socket, http.as_ref(), &stopped)?;
    config.follow_with(http);
    memory::trim();
    ready();
    systemd::ready();

    let mut changes = file_changes::watch(config.files());
    let end = loop {
        if let Some(end) = end {
            break end;
        }
        tokio::select! {
            ended = signals.ends.next() => end = Some(ended),
            _ = signals.hangup.recv() => {
                info!("SIGHUP: reading the configuration again");
                tokio::select! {
                    // The outcome is in the log.
                    _ = config.reload() => {}
                    ended = signals.ends.next() => end = Some(ended),
                }
            }
            Some(request) = reloads.recv() => tokio::select! {
                () = config.serve(request) => {}
                ended = signals.ends.next() => end = Some(ended),
            },
            () = config.servers_changed() => tokio::select! {
                () = config.apply_servers() => {}
                ended = signals.ends.next() => end = Some(ended),
            },
            Some(path) = changes.recv() => tokio::select! {
                () = config.changed_on_disk(&path) => {}
                ended = signals.ends.next() => end = Some(ended),
            },
        }
    };
    info!("stopping");
    systemd::stopping();
    withdraw(end, config, &control).await;
    drop(stopper);
    finish(servers, tasks).await;
    Ok(end)
}

/// Begins to answer requests: at the control socket, and by HTTP.
fn answer_requests(
    settings: &Settings,
    control: &Arc<Control>,
    socket: Socket,
    http: Option<&Arc<Http>>,
    stopped: &watch::Receiver<()>,
) -> Result<Vec<JoinHandle<()>>> {
    let listener = socket
        .publish()
        .context("cannot publish the control socket")?;
    info!("listening at {}", settings.socket.display());
    let local = control::serve(listener, Arc::clone(control), stop::ended(stopped.clone()));
    let mut servers = vec![tokio::spawn(local)];
    servers.extend(http.map(|http| {
        let (http, control) = (Arc::clone(http), Arc::clone(control));
        tokio::spawn(control::serve_http(
            http,
            control,
            stop::ended(stopped.clone()),
        ))
    }));
    Ok(servers)
}

/// Withdraws what is not to outlive the daemon; nothing, if another one takes over.
async fn withdraw(end: End, config: ActiveConfig, control: &Arc<Control>) {
    match end {
        End::HandedOver => {
            info!("everything stays as it is for the next lvsd");
            config.hand_over().await;
        }
        End::Stopped => {
            let (keep, consent) = (control.keeps_addresses(), OwnConsent(Arc::clone(control)));
            let done = step_down(control.roles(), control.peers(), &consent, keep).await;
            if let Some(done) = done {
                info!("{done}");
            }
            config.stop().await;
        }
    }
}

/// Begins in the role that this director has beside others.
async fn begin_role(control: &Control) {
    let role = match control.peers() {
        Some(peers) => first_role(control.roles(), peers).await,
        None => control.roles().first(),
    };
    control.roles().apply_initial(role).await;
}

/// The signals that a daemon follows.
struct Signals {
    hangup: Signal,
    ends: EndSignals,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?,
            ends: EndSignals {
                terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
                interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
                hand_over: signal(SignalKind::user_defined2())
                    .context("cannot listen for SIGUSR2")?,
            },
        })
    }
}

/// The signals that end a daemon.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hand_over: Signal,
}

impl EndSignals {
    /// Returns when one of them arrives.
    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Stopped,
            _ = self.interrupt.recv() => End::Stopped,
            _ = self.hand_over.recv() => End::HandedOver,
        }
    }
}

/// Waits for the servers and the tasks, which are ending.
async fn finish(servers: Vec<JoinHandle<()>>, tasks: Vec<JoinHandle<()>>) {
    for server in servers {
        let _ = tokio::time::timeout(OPEN_CONNECTIONS, server).await;
    }
    for task in tasks {
        if let Err(error) = task.await {
            error!("a task of the daemon failed: {error}");
        }
    }
}
