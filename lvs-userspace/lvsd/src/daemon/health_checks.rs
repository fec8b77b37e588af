//! Health checks of a daemon with an `ldirectord.cf`: controller, prober and mail.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lvs_dataplane::director::canonical_service;
use lvs_dataplane::service_path::ServicePath;
use lvs_health::controller::{ControllerParts, Handle, Tables};
use lvs_health::model::Configuration;
use lvs_health::prober::Prober;
use lvs_process::user::User;
use parking_lot::Mutex;
use tracing::warn;

use super::open_files;
use crate::control::Control;
use crate::mail::{MailHandle, Phase};

/// Longest wait of the start for the first outcome of every server.
const FIRST_OUTCOMES: Duration = Duration::from_secs(10);

/// Longest wait for services to be withdrawn at the end.
const END: Duration = Duration::from_secs(20);

/// Controller, prober and mail of a configuration's services.
pub(super) struct HealthChecks {
    controller: Handle,
    mail: MailHandle,
    prober: Arc<Mutex<Arc<Prober>>>,
    service_path: Option<Arc<ServicePath>>,
}

impl HealthChecks {
    /// Sets the tables and starts the health checks.
    pub(super) async fn start(
        control: &Arc<Control>,
        configuration: Configuration,
        overrides: PathBuf,
        service_path: Option<Arc<ServicePath>>,
        check_user: Option<User>,
    ) -> Result<Self> {
        let mailed = configuration.clone();
        let prober = Arc::new(Prober::new(service_path.clone(), check_user));
        let prober = Arc::new(Mutex::new(prober));
        let probers = Arc::clone(&prober);
        let parts = ControllerParts {
            tables: tables(control, &configuration).await?,
            configuration,
            overrides,
            prober: Arc::new(move |check| {
                let prober = probers.lock();
                let prober = Arc::clone(&prober);
                Box::pin(async move { prober.run(&check).await })
            }),
            sockets: sockets()?,
        };
        let (controller, events) =
            Handle::start(parts, Arc::clone(control.shared_director())).await;
        control.set_controller(controller.clone());
        Ok(Self {
            controller,
            mail: MailHandle::start(&mailed, events, control.roles().follow()),
            prober,
            service_path,
        })
    }

    /// Waits until every server has had its first outcome, [`FIRST_OUTCOMES`] at most.
    pub(super) async fn first_outcomes(&self) {
        let answered = tokio::time::timeout(FIRST_OUTCOMES, self.controller.first_outcomes());
        if answered.await.is_err() {
            let seconds = FIRST_OUTCOMES.as_secs();
            warn!("some servers have not been heard from in {seconds} s; the start is over");
        }
        self.mail.enter(Phase::Running);
    }

    /// Follows another configuration, or the same; services that were deleted by hand are added.
    pub(super) async fn reload(
        &self,
        control: &Arc<Control>,
        configuration: Configuration,
        check_user: Option<User>,
    ) -> Result<()> {
        // Certificates may have changed, too.
        let prober = Arc::new(Prober::new(self.service_path.clone(), check_user));
        *self.prober.lock() = prober;
        self.apply(control, configuration, true).await
    }

    /// Follows the same configuration with other real servers.
    pub(super) async fn follow(
        &self,
        control: &Arc<Control>,
        configuration: Configuration,
    ) -> Result<()> {
        self.apply(control, configuration, false).await
    }

    async fn apply(
        &self,
        control: &Arc<Control>,
        configuration: Configuration,
        whole: bool,
    ) -> Result<()> {
        let tables = tables(control, &configuration).await?;
        self.mail.enter(Phase::Reloading);
        // The mailer still follows the old file: its recipients receive the last events about its services.
        let mailed = configuration.clone();
        self.controller.reload(configuration, tables, whole).await;
        self.mail.configure(mailed);
        self.mail.enter(Phase::Running);
        Ok(())
    }

    /// Ends and withdraws nothing: another daemon takes over.
    pub(super) async fn hand_over(self) {
        self.mail.finish().await;
    }

    /// Ends, and withdraws the services that are not to outlive the daemon.
    pub(super) async fn stop(self) {
        self.mail.enter(Phase::Stopping);
        if tokio::time::timeout(END, self.controller.stop())
            .await
            .is_err()
        {
            warn!("not everything is withdrawn after {} s", END.as_secs());
        }
        self.mail.finish().await;
    }
}

/// The state of a file's services in the tables.
async fn tables(control: &Arc<Control>, configuration: &Configuration) -> Result<Tables> {
    let ids = configuration
        .virtuals
        .iter()
        .map(|v| canonical_service(&v.id));
    let ids: Vec<_> = ids.collect();
    let control = Arc::clone(control);
    let look = move || {
        let director = control.director();
        let found = ids
            .into_iter()
            .filter_map(|id| Some((id, director.wanted(&id)?.clone())));
        found.collect()
    };
    tokio::task::spawn_blocking(look)
        .await
        .context("cannot read the tables")
}

/// Number of sockets that probes may have open at once: what the daemon does not need of the files it may open.
fn sockets() -> Result<usize> {
    let sockets = open_files::limit()?.saturating_sub(open_files::OTHERS);
    let sockets = sockets.clamp(open_files::SOCKETS, 1 << 18);
    Ok(usize::try_from(sockets).unwrap_or(usize::MAX))
}
