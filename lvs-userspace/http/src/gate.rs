//! A gate for requests whose answers take much time and memory: two pass at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use crate::problem::problem;

/// Answers that are made at a time; each is of every real server.
const TURNS: usize = 2;

/// Longest wait for one's turn.
const TURN: Duration = Duration::from_secs(5);

/// Resources that it takes a turn to read. `/metrics` is sent in pieces, and has turns of its own.
const EXPENSIVE: [&str; 6] = [
    "/v1/services",
    "/v1/health",
    "/page/data",
    "/stats.json",
    "/stats.csv",
    "/stats;csv",
];

/// The turns.
pub(crate) fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(TURNS))
}

/// Lets a request pass once it is its turn, if it takes one.
pub(crate) async fn wait_for_turn(
    State(turns): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::POST || !EXPENSIVE.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Ok(Ok(turn)) = tokio::time::timeout(TURN, turns.acquire_owned()).await else {
        let detail = "others are reading as much: try again";
        return problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    };
    // A task of its own: the work goes on when the client goes away, and keeps its turn.
    let work = tokio::spawn(async move {
        let answer = next.run(request).await;
        drop(turn);
        answer
    });
    work.await.unwrap_or_else(|_| {
        let detail = "the answer could not be made";
        problem(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn work_of_clients_that_went_away_keeps_its_turn() {
        let (begun, go_on) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let (counted, waiting) = (Arc::clone(&begun), Arc::clone(&go_on));
        let work = move || {
            let (begun, go_on) = (Arc::clone(&counted), Arc::clone(&waiting));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                go_on.notified().await;
            }
        };
        let turns = gate();
        let router = Router::new()
            .route("/stats.json", get(work))
            .layer(from_fn_with_state(Arc::clone(&turns), wait_for_turn));
        for _ in 0..8 {
            let request = Request::get("/stats.json").body(Body::empty()).unwrap();
            let asked = router.clone().oneshot(request);
            assert!(
                tokio::time::timeout(Duration::from_millis(1), asked)
                    .await
                    .is_err()
            );
        }
        assert_eq!(begun.load(Ordering::SeqCst), TURNS);
        go_on.notify_waiters();
        let all = u32::try_from(TURNS).unwrap();
        let free = tokio::time::timeout(Duration::from_secs(30), turns.acquire_many(all));
        assert!(free.await.is_ok());
    }
}
