//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lvs_api::problem::Problem;

/// The answer to a request that cannot be served.
pub fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    answer(status, &Problem::of_status(status.as_u16(), title, detail))
}

fn answer(status: StatusCode, problem: &Problem) -> Response {
    let mut answer = (status, Json(problem)).into_response();
    let kind = HeaderValue::from_static(Problem::CONTENT_TYPE);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
