//! Requests about the tables: edits, services, connections, timeouts, marks, verdicts.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use lvs_api::connections::{DropConnections, Dropped};
use lvs_api::mark::MarkRule;
use lvs_api::protocol::{
    Edit, Edits, Refusal, RefusalKind, Refused, RefusedEdit, TotalTraffic, VerdictCount,
};
use lvs_api::role::Role;
use lvs_api::sysctl::SysctlValue;
use lvs_api::timeouts::Timeouts;
use lvs_common::verdict::Reason;
use lvs_dataplane::director::{Director, mixes_families};
use lvs_dataplane::kernel::memory;
use lvs_dataplane::{connections, drop};
use lvs_ipvsadm::edit_line;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::answer::{JsonBody, done, large_json, off_runtime, parsed, refused, streamed};
use super::filters;
use super::state::Control;

/// `POST /v1/edits`.
pub(super) async fn edit(
    State(control): State<Arc<Control>>,
    body: JsonBody<Edit>,
) -> Result<Response, Response> {
    let edit = parsed(body).map_err(refused)?;
    if let Edit::AddServer { server, .. } = &edit {
        resolve(&control, BTreeSet::from([server.address()])).await;
    }
    let mut edit = edit;
    let outcome = off_runtime(control, move |control| {
        let outcome = prepare(control, &mut edit).and_then(|()| control.director().apply(&edit));
        follow_settings(control, std::slice::from_ref(&edit));
        let line = edit_line(&edit);
        match &outcome {
            Ok(()) => info!("edit: {line}"),
            Err(refusal) => info!("refused: {line}: {}", refusal.message),
        }
        outcome
    });
    Ok(done(outcome.await?))
}

/// `POST /v1/edits/many`.
pub(super) async fn edit_many(
    State(control): State<Arc<Control>>,
    body: JsonBody<Edits>,
) -> Result<Json<Refused>, Response> {
    let mut edits = parsed(body).map_err(refused)?;
    let addresses = edits.edits.iter().filter_map(|edit| match edit {
        Edit::AddServer { server, .. } => Some(server.address()),
        _ => None,
    });
    resolve(&control, addresses.collect()).await;
    off_runtime(control, move |control| {
        let mut unfit = Vec::new();
        for (place, edit) in edits.edits.iter_mut().enumerate() {
            if let Err(refusal) = prepare(control, edit) {
                unfit.push(RefusedEdit { place, refusal });
            }
        }
        let refused = if edits.atomic && !unfit.is_empty() {
            unfit.truncate(1);
            unfit
        } else {
            apply_many(control, edits, unfit)
        };
        memory::trim();
        Json(Refused { edits: refused })
    })
    .await
}

/// Makes those changes that are fit to be made; all that were refused.
fn apply_many(control: &Control, edits: Edits, unfit: Vec<RefusedEdit>) -> Vec<RefusedEdit> {
    let Edits { edits, atomic } = edits;
    let count = edits.len();
    let left_out: HashSet<_> = unfit.iter().map(|edit| edit.place).collect();
    let (places, edits): (Vec<_>, Vec<_>) = edits
        .into_iter()
        .enumerate()
        .filter(|(place, _)| !left_out.contains(place))
        .unzip();
    let edits = Edits { edits, atomic };
    let mut refused = control.director().apply_many(&edits);
    follow_settings(control, &edits.edits);
    for edit in &mut refused {
        edit.place = places.get(edit.place).copied().unwrap_or(edit.place);
    }
    refused.extend(unfit);
    refused.sort_by_key(|edit| edit.place);
    for edit in &edits.edits {
        debug!("edit: {}", edit_line(edit));
    }
    for RefusedEdit { place, refusal } in &refused {
        info!(
            "refused: edit {} of {count}: {}",
            place + 1,
            refusal.message
        );
    }
    match refused.len() {
        0 => info!("{count} edits"),
        _ if atomic => info!("{count} edits are refused: nothing is changed"),
        some => info!("{count} edits, {some} of them refused"),
    }
    refused
}

/// Has replication follow the settings among some edits.
fn follow_settings(control: &Control, edits: &[Edit]) {
    let sets = |edit: &Edit| matches!(edit, Edit::SetSysctl { .. });
    if edits.iter().any(sets) {
        control.sync().feed().follow_settings();
    }
}

/// Prepares an edit before the tables are locked: a look at this machine's addresses, and files.
fn prepare(control: &Control, edit: &mut Edit) -> Result<(), Refusal> {
    check_families(control, edit)?;
    // A backup has the addresses of its group once it is master.
    if control.roles().current() == Role::Master {
        Director::check_sources(edit)?;
    }
    filters::read(edit)
}

/// Refuses a real server that a running sync daemon has no words for.
fn check_families(control: &Control, edit: &Edit) -> Result<(), Refusal> {
    if let Edit::AddServer {
        service, server, ..
    }
    | Edit::EditServer {
        service, server, ..
    } = edit
        && mixes_families(service, server)
        && control.sync().any()
        && control.director().wanted(service).is_some()
    {
        let message = "a sync daemon is running, and IPVS's protocol has no words for a real server of another \
                       address family than its virtual service's";
        return Err(Refusal::new(RefusalKind::Invalid, message));
    }
    Ok(())
}

/// Waits some 50 ms at most for the next hops of new real servers, so that their first packets are not dropped.
async fn resolve(control: &Arc<Control>, addresses: BTreeSet<IpAddr>) {
    let addresses = Arc::new(addresses);
    // The kernel knows most of them, and says so at once.
    for wait in [1; 5].into_iter().chain([5; 9]) {
        let addresses = Arc::clone(&addresses);
        let known = off_runtime(Arc::clone(control), move |control| {
            control.director().expect(&addresses)
        });
        if known.await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

/// `POST /v1/filters/reload`. Reads the files of all filters again; one that is wrong changes nothing.
pub(super) async fn reload_filters(
    State(control): State<Arc<Control>>,
) -> Result<Response, Response> {
    let outcome = off_runtime(control, |control| {
        let outcome = filters::reload(control);
        match &outcome {
            Ok(()) => tracing::info!("the files of all filters were read again"),
            Err(refusal) => tracing::error!("filters stay as they are: {}", refusal.message),
        }
        outcome
    });
    Ok(done(outcome.await?))
}

/// `GET /v1/services`.
pub(super) async fn services(State(control): State<Arc<Control>>) -> Result<Response, Response> {
    off_runtime(control, |control| {
        let services = control.director().list();
        large_json(&services)
    })
    .await
}

/// `GET /v1/timeouts`.
pub(super) async fn timeouts(
    State(control): State<Arc<Control>>,
) -> Result<Json<Timeouts>, Response> {
    off_runtime(control, |control| Json(control.director().timeouts())).await
}

/// `GET /v1/marks`.
pub(super) async fn marks(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<MarkRule>>, Response> {
    off_runtime(control, |control| Json(control.director().marks())).await
}

/// `GET /v1/traffic`.
pub(super) async fn total_traffic(
    State(control): State<Arc<Control>>,
) -> Result<Json<TotalTraffic>, Response> {
    off_runtime(control, |control| Json(control.director().total_traffic())).await
}

/// `GET /v1/sysctls`.
pub(super) async fn sysctls(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<SysctlValue>>, Response> {
    off_runtime(control, |control| Json(control.director().sysctls())).await
}

/// `GET /v1/verdicts`.
pub(super) async fn verdicts(
    State(control): State<Arc<Control>>,
) -> Result<Json<Vec<VerdictCount>>, Response> {
    off_runtime(control, |control| Json(counted(control))).await
}

/// Packets by verdict.
pub(super) fn counted(control: &Control) -> Vec<VerdictCount> {
    let count = |(reason, packets): (&Reason, u64)| VerdictCount {
        name: reason.name().to_owned(),
        packets,
        explanation: reason.explanation().to_owned(),
    };
    let counts = control.verdicts();
    Reason::ALL.iter().zip(counts).map(count).collect()
}

/// `POST /v1/connections/drop`.
pub(super) async fn drop_connections(
    State(control): State<Arc<Control>>,
    body: JsonBody<DropConnections>,
) -> Result<Json<Dropped>, Response> {
    let order = parsed(body).map_err(refused)?;
    let outcome = off_runtime(control, move |control| {
        let outcome = drop::drop_connections(control.maps(), &order);
        let text = serde_json::to_string(&order).unwrap_or_default();
        match &outcome {
            Ok(_) if order.dry_run => {}
            Ok(dropped) => tracing::info!(
                "dropped {} connections, {} templates: {text}",
                dropped.connections,
                dropped.templates
            ),
            Err(refusal) => tracing::info!("refused {text}: {}", refusal.message),
        }
        outcome
    });
    outcome.await?.map(Json).map_err(refused)
}

/// `GET /v1/connections`. The table is streamed: a million connections need not fit the daemon's memory.
pub(super) async fn connections(State(control): State<Arc<Control>>) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    tokio::spawn(async move {
        let mut listing = connections::Listing::default();
        // Only the reading holds a thread: a client that stalls must not.
        while let Ok(room) = sender.reserve().await {
            let maps = Arc::clone(control.maps());
            let Ok(_turn) = control.listings().acquire().await else {
                return;
            };
            let piece = tokio::task::spawn_blocking(move || (listing.next(&maps), listing));
            match piece.await {
                Ok((Some(lines), rest)) => {
                    room.send(Ok(lines.into()));
                    listing = rest;
                }
                // The end, or that of the daemon.
                Ok((None, _)) | Err(_) => return,
            }
        }
    });
    streamed(receiver)
}
