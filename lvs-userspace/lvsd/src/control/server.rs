//! The server of the control API.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodFilter, MethodRouter, on};
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::route::Route;
use tokio::net::UnixListener;

use super::answer::refused;
use super::state::Control;
use super::{daemon, health, replication, role, tables};

/// Largest body of many edits in bytes: more than all tables hold.
const LARGEST_EDITS: usize = 256 << 20;

/// Answers requests until `stop` returns.
pub(crate) async fn serve(
    listener: UnixListener,
    control: Arc<Control>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, routes().with_state(control))
        .with_graceful_shutdown(stop)
        .await
}

fn routes() -> Router<Arc<Control>> {
    let all = Route::ALL.iter().fold(Router::new(), |router, route| {
        router.route(route.path(), handler(*route))
    });
    all.fallback(|| async {
        refused(Refusal::new(
            RefusalKind::NotSupported,
            "there is no such resource",
        ))
    })
}

fn handler(route: Route) -> MethodRouter<Arc<Control>> {
    let method =
        MethodFilter::try_from(route.method()).expect("axum knows every method of the routes");
    match route {
        Route::Edit => on(method, tables::edit),
        Route::EditMany => {
            on(method, tables::edit_many).layer(DefaultBodyLimit::max(LARGEST_EDITS))
        }
        Route::ReloadFilters => on(method, tables::reload_filters),
        Route::Services => on(method, tables::services),
        Route::Connections => on(method, tables::connections),
        Route::DropConnections => on(method, tables::drop_connections),
        Route::Timeouts => on(method, tables::timeouts),
        Route::Verdicts => on(method, tables::verdicts),
        Route::Marks => on(method, tables::marks),
        Route::Status => on(method, daemon::status),
        Route::Reload => on(method, daemon::reload),
        Route::Override => on(method, health::set_override),
        Route::Health => on(method, health::health),
        Route::Events => on(method, health::events),
        Route::SyncStatus => on(method, replication::sync_status),
        Route::SyncCommand => on(method, replication::sync_command),
        Route::Peers => on(method, replication::peers),
        Route::Role => on(method, role::status),
        Route::SetRole => on(method, role::change),
        Route::HandOver => on(method, role::hand_over),
        Route::StepDown => on(method, role::step_down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_of_the_api_is_served() {
        // A path that is served twice by one method panics, and so does a method that axum has not.
        assert!(routes().has_routes());
    }
}
