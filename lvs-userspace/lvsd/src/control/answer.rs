//! Parts of every request: its body, its work, its answer.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lvs_api::problem::Problem;
use lvs_api::protocol::{Refusal, RefusalKind};
use lvs_api::strict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::state::Control;

/// A request's body, as axum extracts it: its text, which is JSON.
pub(super) struct JsonBody<T>(Result<Box<RawValue>, JsonRejection>, PhantomData<T>);

impl<S: Send + Sync, T> FromRequest<S> for JsonBody<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let body = Json::from_request(request, state).await;
        Ok(Self(body.map(|Json(text)| text), PhantomData))
    }
}

/// The body of a request, or the refusal of one that is not understood.
pub(super) fn parsed<T: DeserializeOwned>(body: JsonBody<T>) -> Result<T, Refusal> {
    let text = body.0.map_err(|error| error.body_text());
    text.and_then(|text| strict::from_str(text.get()))
        .map_err(|error| Refusal::new(RefusalKind::Invalid, error))
}

/// Does work that may wait for the kernel, off the runtime's threads.
pub(super) async fn off_runtime<T: Send + 'static>(
    control: Arc<Control>,
    work: impl FnOnce(&Control) -> T + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(move || work(&control))
        .await
        .map_err(|error| {
            tracing::error!("a request failed: {error}");
            refused(Refusal::new(
                RefusalKind::Internal,
                "the request failed, see the daemon's log",
            ))
        })
}

/// 204, or the refusal.
pub(super) fn done(outcome: Result<(), Refusal>) -> Response {
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// An answer of megabytes: axum's own writes each piece of it by several calls.
pub(super) fn large_json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => refused(Refusal::new(RefusalKind::Internal, error.to_string())),
    }
}

/// An answer of newline-delimited JSON that is sent as it is produced.
pub(super) fn streamed(lines: mpsc::Receiver<Result<Bytes, Infallible>>) -> Response {
    let body = Body::from_stream(ReceiverStream::new(lines));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// A refusal as a problem (RFC 9457), with the HTTP status of its kind.
pub(super) fn refused(refusal: Refusal) -> Response {
    let status = match refusal.kind {
        RefusalKind::ServiceExists | RefusalKind::ServerExists | RefusalKind::DaemonRunning => {
            StatusCode::CONFLICT
        }
        RefusalKind::NoSuchService
        | RefusalKind::ServiceNotDefined
        | RefusalKind::NoSuchServer
        | RefusalKind::NoDaemon
        | RefusalKind::NoDevice => StatusCode::NOT_FOUND,
        RefusalKind::NotPermitted => StatusCode::FORBIDDEN,
        RefusalKind::Invalid
        | RefusalKind::OutOfRange
        | RefusalKind::UnknownScheduler
        | RefusalKind::BadSetting => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
        RefusalKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let problem = Problem::of_refusal(status.as_u16(), refusal);
    let kind = [(header::CONTENT_TYPE, Problem::CONTENT_TYPE)];
    (
        status,
        kind,
        serde_json::to_string(&problem).unwrap_or_default(),
    )
        .into_response()
}
