//! From one configuration to the next, whoever wants it: a signal, a request, the file itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::care::Care;
use super::file::{Error as FileError, File, read_all};
use super::file_changes::FileActions;
use super::interfaces::{self, Interfaces};
use super::{Settings, enact, marks};
use crate::control::server::Control;
use crate::logging::Log;
use crate::watched::Watched;
use lvs_dataplane::kernel::memory;
use lvs_health::model::Globals;

/// What a configuration is in effect in.
pub(super) struct Effect {
    pub(super) control: Arc<Control>,
    /// Who looks after its services; none: it is rules, or there is none.
    pub(super) care: Option<Care>,
    path: Option<PathBuf>,
    log: Option<Log>,
    interfaces: Arc<Mutex<Interfaces>>,
    /// The files in use, as they were when they were read.
    files: watch::Sender<Vec<Watched>>,
    file_actions: FileActions,
}

impl Effect {
    pub(super) fn new(
        control: &Arc<Control>,
        settings: &Settings,
        interfaces: Arc<Mutex<Interfaces>>,
        files: Vec<Watched>,
    ) -> Self {
        Self {
            control: Arc::clone(control),
            care: None,
            path: settings.config.clone(),
            log: settings.log.clone(),
            interfaces,
            files: watch::Sender::new(files),
            file_actions: FileActions::default(),
        }
    }

    /// The files in use, now and later.
    pub(super) fn files(&self) -> watch::Receiver<Vec<Watched>> {
        self.files.subscribe()
    }

    /// Does from now on what the file says about the daemon itself.
    pub(super) fn follow(&mut self, globals: &Globals) {
        self.file_actions.follow(globals);
        if let Some(log) = &self.log {
            log.follow(globals.logfile.as_deref());
        }
    }

    /// Reads the configuration again; one that is wrong changes nothing. What is wrong is returned.
    pub(super) async fn reload(&mut self) -> Result<(), String> {
        let Some(path) = self.path.clone() else {
            let missing = "there is no configuration to read again (--config)".to_owned();
            warn!("{missing}");
            return Err(missing);
        };
        let enacted = self.read_and_enact(path.clone()).await;
        memory::give_back();
        match enacted {
            Ok(()) => {
                info!("the tables hold what {} says", path.display());
                Ok(())
            }
            Err(error) => {
                error!("{error:#}");
                Err(format!("{error:#}"))
            }
        }
    }

    async fn read_and_enact(&mut self, path: PathBuf) -> Result<()> {
        let named = path.clone();
        let read = tokio::task::spawn_blocking(move || read_all(&named));
        let (file, files) = read.await??;
        let addresses = interfaces::addresses(&file);
        match (file, &self.care) {
            (File::Services(services), Some(care)) => {
                // Before anything is sent there: its answers are to be seen.
                interfaces::attach_missing(&self.interfaces, &self.control, addresses).await;
                let globals = services.globals.clone();
                let control = Arc::clone(&self.control);
                let marked = services.clone();
                tokio::task::spawn_blocking(move || marks::take_over(&control, &marked)).await?;
                care.reload(&self.control, *services).await?;
                self.follow(&globals);
                self.files.send_replace(files);
                Ok(())
            }
            (File::Rules(rules), None) => {
                interfaces::attach_missing(&self.interfaces, &self.control, addresses).await;
                let control = Arc::clone(&self.control);
                tokio::task::spawn_blocking(move || enact(&control, &rules)).await?
            }
            _ => Err(FileError::OtherKind(path).into()),
        }
    }

    /// A file says something else than before. Only an `ldirectord.cf` can want anything then.
    pub(super) async fn changed_on_disk(&mut self, path: &Path) {
        if self.care.is_none() {
            return;
        }
        info!(
            "Configuration file '{}' has changed on disk",
            path.display()
        );
        if self.file_actions.autoreload {
            info!(" - reread new configuration");
            // What is wrong with it is in the log.
            let _ = self.reload().await;
        } else {
            info!(" - ignore new configuration");
        }
        self.file_actions.call_back(path);
    }

    /// Withdraws what is not to outlive the daemon.
    pub(super) async fn stop(self) {
        if let Some(care) = self.care {
            care.stop().await;
        }
    }

    /// Ends, and withdraws nothing: another daemon goes on.
    pub(super) async fn leave(self) {
        if let Some(care) = self.care {
            care.leave().await;
        }
    }
}
