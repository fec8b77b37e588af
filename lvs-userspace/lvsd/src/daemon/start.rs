//! The start of a daemon, before its tasks run: configuration, data path, tables, interfaces, socket.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use lvs_api::protocol::Edit;
use lvs_dataplane::director::Director;
use lvs_dataplane::kernel::{DataPath, Directory, cgroup};
use lvs_dataplane::service_path::{Namespace, ServicePath};
use lvs_dataplane::{keepalive, own_addresses, source_checks};
use lvs_failover::role::Roles;
use lvs_health::model;
use lvs_http::{self as http, Http};
use lvs_process::user::User;
use lvs_process::{children, privileges, system_commands};
use lvs_replication::peer;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::interfaces::{self, Interfaces};
use super::peers::PeerSettings;
use super::settings::Settings;
use super::{check_user, marks, open_files, rules};
use crate::config_file::{File, Watched, read_all};
use crate::control::{Claim, Control, Reload, Socket};
use crate::discovery::Discovery;
use crate::logging::queue;

/// A daemon whose tables are set and whose interfaces are attached, before its tasks run.
pub(super) struct Started {
    pub(super) control: Arc<Control>,
    /// The data path was made by this start.
    pub(super) fresh: bool,
    /// Services of an `ldirectord.cf`.
    pub(super) services: Option<model::Configuration>,
    /// Way to probe real servers as clients of the service; only with services.
    pub(super) service_path: Option<Arc<ServicePath>>,
    /// User of health checks' commands that the file names none for.
    pub(super) check_user: Option<User>,
    pub(super) peers: Option<peer::Options>,
    pub(super) socket: Socket,
    pub(super) http: Option<Http>,
    pub(super) interfaces: Arc<Mutex<Interfaces>>,
    pub(super) reloads: mpsc::Receiver<Reload>,
    /// The configuration files, as they were when they were read.
    pub(super) files: Vec<Watched>,
    pub(super) discovery: Discovery,
}

/// Starts a daemon. Files and keys are read before anything is changed.
///
/// A daemon that is killed here leaves nothing that the next one cannot take over or clean up.
pub(super) fn start(settings: &Settings) -> Result<(Started, Claim)> {
    // Loading and verifying the programs takes a while on a busy machine.
    info!("lvsd {} starts", env!("CARGO_PKG_VERSION"));
    open_files::raise()?;
    privileges::gain_none()?;
    let (file, files, discovery) = read(settings)?;
    let peers = settings
        .peers
        .as_ref()
        .map(PeerSettings::read)
        .transpose()?;
    let http = settings.http.as_ref().map(http::Files::read).transpose()?;
    let check_user = check_user::find(settings.check_user.as_deref(), file.as_ref())?;
    if let Some(log) = &settings.log {
        log.follow(file.as_ref().and_then(File::logfile));
    }

    let claim = Claim::new(&settings.socket)
        .with_context(|| format!("cannot listen at {}", settings.socket.display()))?;
    let directory = Directory::open(&settings.bpffs)?;
    let fresh = settings.reset || !directory.has_data_path();
    let started = begin(
        settings,
        directory,
        (file, files, discovery),
        peers,
        http,
        check_user,
    )
    .inspect_err(|_| {
        if fresh {
            remove_remains(settings);
        }
    })?;
    Ok((started, claim))
}

/// Reads the configuration, and asks for the servers of the names in it.
fn read(settings: &Settings) -> Result<(Option<File>, Vec<Watched>, Discovery)> {
    let kept = Discovery::open(settings.additions());
    let Some(path) = &settings.config else {
        return Ok((None, Vec::new(), kept));
    };
    let (mut file, files, sources) = read_all(path, settings.check_user.as_deref())?;
    let mut discovery = kept;
    if let File::Services(services) = &mut file {
        // The daemon's own runtime starts later, after privileges are given up.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime to ask name servers")?;
        discovery = runtime.block_on(discovery.with(sources));
        **services = discovery.build()?;
    }
    Ok((Some(file), files, discovery))
}

/// Removes what a start that failed has made. The cause of the failure is in the log, too.
pub(super) fn remove_remains(settings: &Settings) {
    if let Err(error) = Directory::remove_abandoned(&settings.bpffs) {
        warn!(
            "{} may hold remains of this start: {error:#}",
            settings.bpffs.display()
        );
    }
}

/// Starts a daemon whose data path lies in this folder.
fn begin(
    settings: &Settings,
    directory: Directory,
    (file, files, discovery): (Option<File>, Vec<Watched>, Discovery),
    peers: Option<peer::Options>,
    http: Option<http::Files>,
    check_user: Option<User>,
) -> Result<Started> {
    let cgroup = settings.local_clients.as_deref().map(cgroup).transpose()?;
    let (mut data_path, keys) = DataPath::open(directory, &settings.options, settings.reset)?;
    data_path.serve_local_clients(cgroup.as_deref())?;
    let fresh = !data_path.adopted;
    let mut director = Director::new(Arc::clone(&data_path.maps), keys)?;
    for (name, value) in settings.sysctls.iter().cloned() {
        let outcome = director.apply(&Edit::SetSysctl { name, value });
        outcome.map_err(|refusal| anyhow!("{}", refusal.message))?;
    }
    let (reload, reloads) = mpsc::channel(1);
    let roles = Roles::new(
        settings.socket.with_extension("role"),
        data_path.adopted,
        settings.role,
        settings.group.clone(),
    );
    let control = Arc::new(Control::new(
        director,
        roles,
        settings.keeps_addresses(),
        settings.sync,
        reload,
    ));

    let addresses = file.as_ref().map(interfaces::addresses).unwrap_or_default();
    let services = file
        .map(|file| apply(&control, file))
        .transpose()?
        .flatten();
    own_addresses::follow(&data_path.maps);
    source_checks::follow(&data_path.maps);
    source_checks::let_loopback_forward();
    let hops = control.director().ways_out();
    let interfaces = Interfaces::attach(data_path, settings, addresses, hops)?;
    interfaces.publish(&control);
    let interfaces = Arc::new(Mutex::new(interfaces));
    let socket = Socket::open(&settings.socket)
        .with_context(|| format!("cannot listen at {}", settings.socket.display()))?;

    let http = http.map(Http::listen).transpose()?;

    // Real servers of rules are not probed.
    let service_path = services.as_ref().map(|_| {
        let send = interfaces::probe_attacher(Arc::clone(&interfaces));
        // A namespace that could not be made fails only the probes that need it.
        let path = ServicePath::new(Namespace::spawn(), send, Arc::clone(control.maps()));
        Arc::new(path)
    });
    // Threads inherit capabilities and filter of the thread that makes them: all others start after this.
    system_commands::keep_privileges().context("cannot start the thread of commands")?;
    if let Err(error) = children::adopt_orphans() {
        warn!("processes that a command leaves behind are not collected: {error}");
    }
    privileges::reduce(settings.detach_on_exit)?;
    queue::start().context("cannot start the thread of the log")?;
    let (maps, down) = (
        Arc::clone(control.maps()),
        control.director().servers_to_reset(),
    );
    if let Err(error) = keepalive::start(maps, down, control.roles().follow()) {
        warn!("silent clients of servers that are down stay silent: {error}");
    }
    Ok(Started {
        control,
        fresh,
        services,
        service_path,
        check_user,
        peers,
        socket,
        http,
        interfaces,
        reloads,
        files,
        discovery,
    })
}

/// Sets the tables from rules. Services are returned: the controller sets their tables.
fn apply(control: &Control, file: File) -> Result<Option<model::Configuration>> {
    match file {
        File::Rules(configuration) => {
            rules::apply(control, &configuration)?;
            Ok(None)
        }
        File::Services(services) => {
            marks::import(control, &services);
            Ok(Some(*services))
        }
    }
}
