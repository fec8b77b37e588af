//! The configuration in effect, and its reload: by a signal, by a request, or as the file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use lvs_api::health::ServerByHand;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_dataplane::kernel::memory;
use lvs_health::model::{Configuration, Globals};
use lvs_http::Http;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use super::file_changes::FileActions;
use super::health_checks::HealthChecks;
use super::interfaces::{self, Interfaces};
use super::settings::Settings;
use super::{check_user, marks, rules};
use crate::config_file::{self, File, Sources, Watched, read_all};
use crate::control::{Control, Reload};
use crate::discovery::{Discovery, by_hand};
use crate::logging::{Log, error_lines};

/// Time that files may take to be read, host names in them included.
const READING: Duration = Duration::from_secs(30);

/// A configuration that is being read off the runtime's threads: a file may lie on a server that does not answer.
type Reading = JoinHandle<Result<(File, Vec<Watched>, Sources), config_file::Error>>;

/// The configuration in effect.
pub(super) struct ActiveConfig {
    control: Arc<Control>,
    /// Health checks of its services; none: it is rules, or there is none.
    pub(super) checks: Option<HealthChecks>,
    path: Option<PathBuf>,
    /// `--check-user`.
    check_user: Option<String>,
    log: Option<Log>,
    interfaces: Arc<Mutex<Interfaces>>,
    /// The files in use, as they were when they were read.
    files: watch::Sender<Vec<Watched>>,
    file_actions: FileActions,
    /// The last reading, which may not have ended yet.
    reading: Option<Reading>,
    /// Real servers beside those of the file.
    discovery: Discovery,
    /// Its files are read again with the configuration.
    http: Option<Arc<Http>>,
}

impl ActiveConfig {
    pub(super) fn new(
        control: &Arc<Control>,
        settings: &Settings,
        interfaces: Arc<Mutex<Interfaces>>,
        files: Vec<Watched>,
        discovery: Discovery,
    ) -> Self {
        control.set_name_troubles(discovery.troubles());
        if settings.config.is_some() {
            control.set_config_read(true);
        }
        Self {
            control: Arc::clone(control),
            checks: None,
            path: settings.config.clone(),
            check_user: settings.check_user.clone(),
            log: settings.log.clone(),
            interfaces,
            files: watch::Sender::new(files),
            file_actions: FileActions::default(),
            reading: None,
            discovery,
            http: None,
        }
    }

    /// Reads the files of users and certificate again with the configuration.
    pub(super) fn follow_with(&mut self, http: Option<Arc<Http>>) {
        self.http = http;
    }

    /// The files in use, now and later.
    pub(super) fn files(&self) -> watch::Receiver<Vec<Watched>> {
        self.files.subscribe()
    }

    /// Follows the settings of a file for the daemon itself.
    pub(super) fn follow(&mut self, globals: &Globals) {
        self.file_actions.follow(globals);
        if let Some(log) = &self.log {
            log.follow(globals.logfile.as_deref());
        }
    }

    /// Reads the configuration again. A wrong one changes nothing; the error says what is wrong. May be given up at
    /// any time by a daemon that ends.
    pub(super) async fn reload(&mut self) -> Result<(), String> {
        if let Some(http) = self.http.clone() {
            // Their folder may not answer, which is none of the configuration's business.
            tokio::task::spawn_blocking(move || match http.reload() {
                Ok(()) => info!("the files of --http are read again"),
                Err(error) => {
                    error_lines(&format!("the files of --http stay as they are: {error}"));
                }
            });
        }
        let Some(path) = self.path.clone() else {
            let missing = "there is no configuration to read again (--config)".to_owned();
            warn!("{missing}");
            return Err(missing);
        };
        info!("reading {}", path.display());
        let applied = self.read_and_apply(path.clone()).await;
        memory::trim();
        self.control.set_config_read(applied.is_ok());
        match applied {
            Ok(()) => {
                info!("the tables hold what {} says", path.display());
                Ok(())
            }
            Err(error) => {
                error_lines(&format!("{error:#}"));
                Err(format!("{error:#}"))
            }
        }
    }

    /// Reads the files, one reading at a time: each that hangs holds a thread.
    async fn read(&mut self, path: PathBuf) -> Result<(File, Vec<Watched>, Sources)> {
        let shown = path.display().to_string();
        if let Some(reading) = &self.reading
            && !reading.is_finished()
        {
            bail!(
                "{shown} is still being read since the last attempt: its file system does not answer"
            );
        }
        let user = self.check_user.clone();
        let reading = tokio::task::spawn_blocking(move || read_all(&path, user.as_deref()));
        let reading = self.reading.insert(reading);
        let Ok(read) = timeout(READING, reading).await else {
            let seconds = READING.as_secs();
            bail!("{shown} is not read after {seconds} s: its file system does not answer");
        };
        Ok(read??)
    }

    async fn read_and_apply(&mut self, path: PathBuf) -> Result<()> {
        let (mut file, files, sources) = self.read(path.clone()).await?;
        let discovery = self.discovery.with(sources).await;
        if let File::Services(services) = &mut file {
            **services = discovery.build()?;
        }
        let check_user = check_user::find(self.check_user.as_deref(), Some(&file))?;
        let addresses = interfaces::addresses(&file);
        match (file, &self.checks) {
            (File::Services(services), Some(checks)) => {
                // First: the answers to whatever is sent there have to be seen.
                interfaces::attach_missing(&self.interfaces, &self.control, addresses).await;
                let globals = services.globals.clone();
                let control = Arc::clone(&self.control);
                let marked = services.clone();
                tokio::task::spawn_blocking(move || marks::import(&control, &marked)).await?;
                checks.reload(&self.control, *services, check_user).await?;
                self.control.set_name_troubles(discovery.troubles());
                self.discovery = discovery;
                self.follow(&globals);
                self.files.send_replace(files);
                Ok(())
            }
            (File::Rules(configuration), None) => {
                interfaces::attach_missing(&self.interfaces, &self.control, addresses).await;
                let control = Arc::clone(&self.control);
                tokio::task::spawn_blocking(move || rules::apply(&control, &configuration)).await?
            }
            _ => Err(config_file::Error::OtherKind(path).into()),
        }
    }

    /// Carries out a request. The client may be gone.
    pub(super) async fn serve(&mut self, request: Reload) {
        match request {
            Reload::File(answer) => drop(answer.send(self.reload().await)),
            Reload::ByHand(change, answer) => {
                drop(answer.send(self.server_by_hand(change).await));
            }
        }
    }

    /// Waits until names of the file have other servers than before. May be dropped at any time.
    pub(super) async fn servers_changed(&mut self) {
        loop {
            let changed = self.discovery.answered().await;
            self.control.set_name_troubles(self.discovery.troubles());
            if changed {
                return;
            }
        }
    }

    /// Follows the servers that names have now.
    pub(super) async fn apply_servers(&mut self) {
        let applied = match self.discovery.build() {
            Ok(services) => self.apply(services).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = applied {
            error_lines(&format!("{error:#}"));
        }
    }

    /// Applies the configuration of the same files with other real servers.
    async fn apply(&self, services: Configuration) -> Result<()> {
        let Some(checks) = &self.checks else {
            return Ok(());
        };
        let file = File::Services(Box::new(services));
        let addresses = interfaces::addresses(&file);
        interfaces::attach_missing(&self.interfaces, &self.control, addresses).await;
        match file {
            File::Services(services) => checks.follow(&self.control, *services).await,
            File::Rules(_) => Ok(()),
        }
    }

    /// Has a real server checked that is not in the file, or removes one.
    pub(super) async fn server_by_hand(&mut self, change: ServerByHand) -> Result<(), Refusal> {
        let internal = |error: String| Refusal::new(RefusalKind::Internal, error);
        let current = self.discovery.build();
        let current = current.map_err(|error| internal(error.to_string()))?;
        let known = self.discovery.by_hand();
        let by_hand = by_hand::changed(&current, known, &change)?;
        let services = self.discovery.build_with(&by_hand);
        let services = services.map_err(|error| internal(error.to_string()))?;
        self.discovery.keep(&by_hand).map_err(|error| {
            let file = self.discovery.file().display();
            internal(format!(
                "nothing was changed: the server could not be kept over a restart, {file}: {error}"
            ))
        })?;
        self.discovery.set_by_hand(by_hand);
        let applied = self.apply(services).await;
        applied.map_err(|error| internal(format!("{error:#}")))
    }

    /// Acts on a changed file as `autoreload` and `callback` ask; rules have neither.
    pub(super) async fn changed_on_disk(&mut self, path: &Path) {
        if self.checks.is_none() {
            return;
        }
        info!(
            "Configuration file '{}' has changed on disk",
            path.display()
        );
        if self.file_actions.autoreload {
            info!(" - reread new configuration");
            // The outcome is in the log.
            let _ = self.reload().await;
        } else {
            info!(" - ignore new configuration");
        }
        self.file_actions.call_back(path);
    }

    /// Ends the health checks, and withdraws the services that are not to outlive the daemon.
    pub(super) async fn stop(self) {
        if let Some(checks) = self.checks {
            checks.stop().await;
        }
    }

    /// Ends the health checks and withdraws nothing: another daemon takes over.
    pub(super) async fn hand_over(self) {
        if let Some(checks) = self.checks {
            checks.hand_over().await;
        }
    }
}
