//! Puts the daemon's parts together and runs them until a signal.

mod care;
mod client_next_hops;
mod file;
mod file_changes;
mod interfaces;
mod marks;
mod next_hops;
mod peers;
mod reload;
mod stop;
mod supervisor;
mod tasks;
mod verdicts;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::care::Care;
pub(crate) use self::file::{File, read as read_file};
use self::interfaces::Interfaces;
pub(crate) use self::peers::PeerSettings;
use self::reload::Effect;
use crate::control::server::{self, Control, Reload, Socket};
use crate::logging::Log;
use crate::watched::Watched;
use lvs_api::role::Role;
use lvs_dataplane::director::{Configuration, Director};
use lvs_dataplane::keepalive;
use lvs_dataplane::kernel::{DataPath, Directory, Options, memory};
use lvs_dataplane::own_addresses;
use lvs_dataplane::privileges;
use lvs_dataplane::service_path::{Namespace, ServicePath};
use lvs_failover::role::{AddressGroup, Roles};
use lvs_health::model;
use lvs_replication::ipvs::SyncOptions;
use lvs_replication::peer;

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// File of services; without one the tables stay as they are found.
    pub config: Option<PathBuf>,
    /// Interfaces to run on; none: where the program runs already.
    pub interfaces: Vec<String>,
    /// Folder where the data path is pinned.
    pub bpffs: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Folder of what outlives a reboot.
    pub state: PathBuf,
    /// Sizes and options of the data path.
    pub options: Options,
    /// How it exchanges connections in the messages of IPVS.
    pub sync: SyncOptions,
    /// The role to begin in, unless the data path that is taken over has one.
    pub role: Role,
    /// What a master holds.
    pub group: AddressGroup,
    /// Other directors; none: it is alone.
    pub peers: Option<PeerSettings>,
    /// Remove what is there first.
    pub reset: bool,
    /// Remove the data path at the end.
    pub detach_on_exit: bool,
    /// The log whose place the file names; none: it is where it is.
    pub log: Option<Log>,
}

impl Settings {
    /// Where orders of operators are kept, for the director of this socket.
    fn orders(&self) -> PathBuf {
        let name = self.socket.with_extension("orders");
        self.state.join(name.file_name().unwrap_or_default())
    }
}

/// Runs the daemon until SIGTERM or SIGINT, or SIGUSR2: then it withdraws nothing. `ready` is called once the
/// tables are set and requests are answered.
///
/// A daemon that is killed during the start leaves nothing that the next one cannot take over or clean
/// up, so signals are listened for only afterwards.
pub(crate) fn run(settings: &Settings, ready: impl FnOnce()) -> Result<()> {
    memory::share();
    // Wrong lines are told before anything is touched.
    let read = settings.config.as_deref().map(file::read_all).transpose()?;
    let (file, files) = read.unzip();
    let files = files.unwrap_or_default();

    let peers = settings
        .peers
        .as_ref()
        .map(PeerSettings::read)
        .transpose()?;

    if let Some(log) = &settings.log {
        log.follow(file.as_ref().and_then(File::logfile));
    }
    let addresses = file.as_ref().map(interfaces::addresses);

    let directory = Directory::open(&settings.bpffs)?;
    let (data_path, keys) = DataPath::open(directory, &settings.options, settings.reset)?;
    let director = Director::new(Arc::clone(&data_path.maps), keys)?;
    let (reload, reloads) = mpsc::channel(1);
    if let Some(folder) = settings.socket.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let kept = settings.socket.with_extension("role");
    let roles = Roles::new(
        kept,
        data_path.adopted,
        settings.role,
        settings.group.clone(),
    );
    let control = Arc::new(Control::new(director, roles, settings.sync, reload));
    let services = match file {
        None => None,
        Some(File::Rules(configuration)) => {
            enact(&control, &configuration)?;
            None
        }
        Some(File::Services(services)) => {
            marks::take_over(&control, &services);
            Some(*services)
        }
    };
    own_addresses::follow(&data_path.maps.config);
    let addresses = addresses.unwrap_or_default();
    let interfaces = Interfaces::attach(data_path, &settings.interfaces, addresses)?;
    control.set_interfaces(interfaces.describe());
    let interfaces = Arc::new(Mutex::new(interfaces));
    let socket = Socket::bind(&settings.socket)
        .with_context(|| format!("cannot listen at {}", settings.socket.display()))?;

    // Only who looks after real servers probes them.
    let service_path = services.as_ref().map(|_| {
        let send = interfaces::probe_attacher(Arc::clone(&interfaces));
        // Whether it began matters only to probes that want it.
        let path = ServicePath::new(Namespace::spawn(), send, Arc::clone(control.maps()));
        Arc::new(path)
    });
    // Threads inherit the capabilities of the one that makes them: all others begin after this.
    privileges::reduce(settings.detach_on_exit)?;
    let (maps, down) = (
        Arc::clone(control.maps()),
        control.director().servers_to_reset(),
    );
    if let Err(error) = keepalive::start(maps, down, control.roles().follow()) {
        warn!("silent clients of servers that are down stay silent: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let begun = Begun {
        services,
        service_path,
        peers,
        socket,
        interfaces: Arc::clone(&interfaces),
        reloads,
        files,
    };
    let end = runtime.block_on(serve(settings, &control, begun, ready))?;
    drop(runtime);

    if let Err(error) = std::fs::remove_file(&settings.socket) {
        warn!("cannot remove {}: {error}", settings.socket.display());
    }
    drop(control);
    let interfaces =
        Arc::into_inner(interfaces).and_then(|interfaces| interfaces.into_inner().ok());
    let removes = settings.detach_on_exit && end == End::Stopped;
    if let (true, Some(interfaces)) = (removes, interfaces) {
        interfaces.into_data_path().remove()?;
        info!("detached and removed the data path");
    } else {
        info!("the data path keeps forwarding; the next lvsd takes it over");
    }
    Ok(())
}

/// Why a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stopped,
    /// Another one goes on.
    HandedOver,
}

/// A daemon whose tables are found and whose interfaces are attached.
struct Begun {
    services: Option<model::Configuration>,
    service_path: Option<Arc<ServicePath>>,
    peers: Option<peer::Options>,
    socket: Socket,
    interfaces: Arc<Mutex<Interfaces>>,
    reloads: mpsc::Receiver<Reload>,
    files: Vec<Watched>,
}

/// Does everything that goes on while the daemon runs.
async fn serve(
    settings: &Settings,
    control: &Arc<Control>,
    begun: Begun,
    ready: impl FnOnce(),
) -> Result<End> {
    let Begun {
        services,
        service_path,
        peers,
        socket,
        interfaces,
        mut reloads,
        files,
    } = begun;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let mut hand_over = signal(SignalKind::user_defined2()).context("cannot listen for SIGUSR2")?;

    let (stop, stopped) = watch::channel(());
    let tasks = tasks::begin(control, &interfaces, &stopped)?;
    let mut stopping = false;
    let mut effect = Effect::new(control, settings, interfaces, files);
    if let Some(services) = services {
        effect.follow(&services.globals);
        let care = Care::begin(control, services, settings.orders(), service_path).await?;
        tokio::select! {
            () = care.answered() => {}
            _ = terminate.recv() => stopping = true,
            _ = interrupt.recv() => stopping = true,
        }
        effect.care = Some(care);
    }
    if let Some(peers) = peers {
        peers::start(control, peers).await?;
    }
    next_hops::wait_resolved(control).await;
    // Last: now the packets that follow the addresses are forwarded.
    control.roles().apply_initial().await;
    let listener = socket
        .publish()
        .context("cannot publish the control socket")?;
    info!("listening at {}", settings.socket.display());
    let server = tokio::spawn(server::serve(
        listener,
        Arc::clone(control),
        stop::ended(stopped),
    ));
    memory::give_back();
    ready();
    supervisor::ready();

    let mut changes = file_changes::watch(effect.files());
    let mut successor = false;
    while !stopping && !successor {
        tokio::select! {
            _ = hand_over.recv() => successor = true,
            _ = terminate.recv() => stopping = true,
            _ = interrupt.recv() => stopping = true,
            _ = hangup.recv() => {
                info!("SIGHUP: reading the configuration again");
                // What came of it is in the log.
                let _ = effect.reload().await;
            }
            Some(answer) = reloads.recv() => {
                let outcome = effect.reload().await;
                // Whoever asked may have gone.
                let _ = answer.send(outcome);
            }
            Some(path) = changes.recv() => effect.changed_on_disk(&path).await,
        }
    }
    info!("stopping");
    supervisor::stopping();
    if successor {
        info!("everything stays as it is for the next lvsd");
        effect.leave().await;
    } else {
        if settings.detach_on_exit {
            control.roles().release_addresses().await;
        }
        effect.stop().await;
    }
    drop(stop);
    finish(server, tasks).await;
    Ok(if successor {
        End::HandedOver
    } else {
        End::Stopped
    })
}

/// Waits for what has been told to end.
async fn finish(server: JoinHandle<std::io::Result<()>>, tasks: Vec<JoinHandle<()>>) {
    // A client that keeps its connection open does not keep the daemon.
    let _ = tokio::time::timeout(Duration::from_secs(2), server).await;
    for task in tasks {
        if let Err(error) = task.await {
            error!("a task of the daemon failed: {error}");
        }
    }
}

/// Makes the tables hold what a configuration says.
fn enact(control: &Control, configuration: &Configuration) -> Result<()> {
    let outcome = control.director().configure(configuration);
    outcome.map_err(|refusal| {
        anyhow!(
            "the configuration is not in effect as a whole: {}",
            refusal.message
        )
    })
}
