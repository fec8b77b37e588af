//! The director over HTTP: what [`lvs_http`] shows, and the control API for those with the right to it.

use std::sync::Arc;
use std::time::Instant;

use lvs_api::health::Event;
use lvs_api::protocol::Services;
use lvs_api::role::RoleStatus;
use lvs_http::{ConfigStatus, Http, Pending, Snapshot, Source};
use tokio::sync::mpsc;
use tracing::error;

use super::consent::refresh_agreement;
use super::health::{checked, follow_events};
use super::state::Control;
use super::{server, tables};

/// Answers requests until `stop` returns.
pub(crate) async fn serve_http(
    http: Arc<Http>,
    control: Arc<Control>,
    stop: impl Future<Output = ()> + Send,
) {
    let api = server::all().with_state(Arc::clone(&control));
    let source = Arc::new(Live(control));
    if let Err(error) = http.serve(source, api, stop).await {
        error!("HTTP is not served: {error}");
    }
}

/// The running director.
struct Live(Arc<Control>);

impl Source for Live {
    fn snapshot(&self) -> Pending<'_, Option<Snapshot>> {
        Box::pin(async {
            let control = &self.0;
            refresh_agreement(control).await;
            let health = checked(control).await;
            let control = Arc::clone(control);
            let taken = tokio::task::spawn_blocking(move || {
                let (successful, read_at) = control.config_read();
                // A statement of its own: the lock would be held to the end of this one.
                let services = control.director().list();
                Snapshot {
                    services,
                    health,
                    status: control.status(),
                    verdicts: tables::counted(&control),
                    peers: control.peers_status(),
                    sync: control.sync().status(),
                    role: RoleStatus {
                        reach: control.agreement().reach(Instant::now()),
                        carrier: control.agreement().carrier(Instant::now()),
                        ..control.roles().status()
                    },
                    config: ConfigStatus {
                        digest: control.agreement().digest(),
                        successful,
                        read_at,
                    },
                }
            });
            taken.await.ok()
        })
    }

    fn services(&self) -> Pending<'_, Option<Services>> {
        Box::pin(async {
            let control = Arc::clone(&self.0);
            let taken = tokio::task::spawn_blocking(move || control.director().list());
            taken.await.ok()
        })
    }

    fn events(&self) -> mpsc::Receiver<Arc<Event>> {
        follow_events(&self.0)
    }
}
