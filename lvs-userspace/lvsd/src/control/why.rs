//! The way that a client's packet would take.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use lvs_api::why::{Way, Why};
use lvs_dataplane::why::{Place, Surroundings, way};

use super::answer::{JsonBody, off_runtime, parsed, refused};
use super::state::Control;

/// `POST /v1/why`.
pub(super) async fn why(
    State(control): State<Arc<Control>>,
    body: JsonBody<Why>,
) -> Result<Json<Way>, Response> {
    let question = parsed(body).map_err(refused)?;
    let outcome = off_runtime(control, move |control| {
        let (interfaces, _) = control.interfaces();
        let places: Vec<_> = interfaces
            .into_iter()
            .filter(|interface| interface.mode != "none")
            .map(|interface| Place {
                xdp: interface.mode.contains("native"),
                tc: interface.mode.contains("tc"),
                interface: interface.name,
            })
            .collect();
        // Not across the walk: each packet's look at the tables would wait for the director.
        let services: Vec<_> = control.director().service_ids().collect();
        let surroundings = Surroundings {
            places: &places,
            services: &services,
            next_hop: &|address| control.director().next_hop(address),
        };
        way(control.maps(), &surroundings, &question)
    });
    outcome.await?.map(Json).map_err(refused)
}
