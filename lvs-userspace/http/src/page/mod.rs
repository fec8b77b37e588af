//! The page: everything at a glance, for browsers; and the same as JSON and CSV.
//!
//! The page is a fixed document with its scripts and style, which come from here. A script asks for
//! [`data`] every few seconds and follows [`events`].

mod csv;
mod data;
mod events;

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use lvs_api::rows::rows;

use crate::history::History;
use crate::problem::problem;
use crate::snapshot::{Snapshot, Snapshots};
use crate::users::Identity;

/// The sources of the page's answers.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) history: Arc<History>,
}

pub(crate) fn routes(page: Page) -> Router {
    Router::new()
        .route(
            "/",
            get(|| asset("text/html; charset=utf-8", include_str!("assets/page.html"))),
        )
        .route(
            "/page.css",
            get(|| asset("text/css; charset=utf-8", include_str!("assets/page.css"))),
        )
        .route("/page.js", get(|| script(include_str!("assets/page.js"))))
        .route(
            "/numbers.js",
            get(|| script(include_str!("assets/numbers.js"))),
        )
        .route(
            "/events.js",
            get(|| script(include_str!("assets/events.js"))),
        )
        .route(
            "/icon.svg",
            get(|| asset("image/svg+xml", include_str!("assets/icon.svg"))),
        )
        .route("/page/data", get(of_page))
        .route("/page/events", get(events::events))
        .route("/stats.json", get(all))
        .route("/stats.csv", get(table))
        // HAProxy's address of the same.
        .route("/stats;csv", get(table))
        .with_state(page)
}

fn asset(kind: &'static str, text: &'static str) -> Ready<Response> {
    ready(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn script(text: &'static str) -> Ready<Response> {
    asset("text/javascript; charset=utf-8", text)
}

/// Works on a snapshot off the runtime's threads: there may be thousands of real servers.
async fn with_snapshot<T: Send + 'static>(
    page: Page,
    work: impl FnOnce(&Snapshot, &History) -> T + Send + 'static,
) -> Result<T, Response> {
    let stopping = || problem(StatusCode::SERVICE_UNAVAILABLE, "lvsd is stopping");
    let snapshot = page.snapshots.read().await.ok_or_else(stopping)?;
    let work = tokio::task::spawn_blocking(move || work(&snapshot, &page.history));
    work.await.map_err(|_| stopping())
}

async fn of_page(
    State(page): State<Page>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let wanted = data::Wanted::parse(query.as_deref().unwrap_or(""));
    json(page, wanted, Some(identity)).await
}

async fn all(State(page): State<Page>) -> Result<Response, Response> {
    json(page, data::Wanted::everything(), None).await
}

async fn json(
    page: Page,
    wanted: data::Wanted,
    who: Option<Identity>,
) -> Result<Response, Response> {
    let text = with_snapshot(page, move |snapshot, history| {
        data::data(snapshot, history, &wanted, who.as_ref())
    });
    let failed = |_| {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer cannot be written",
        )
    };
    let text = text.await?.map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn table(State(page): State<Page>) -> Result<Response, Response> {
    let text = with_snapshot(page, |snapshot, history| {
        csv::table(&rows(&snapshot.services, snapshot.health.as_ref()), history)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}
