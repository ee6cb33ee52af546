//! The two routers: the API's, where each route stands twice, bare and under `/api`, and the second listener's.
//!
//! **Invariant:** an unknown path and a wrong method get the error envelope like everything else.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::get;

use super::probes::{self, Duty, Probed};
use super::routes::{Route, table};
use super::watch::Watch;
use super::{Http, Problem, seal};
use crate::lifecycle::Health;
use crate::telemetry::Metrics;

/// The API.
pub fn router(http: Http) -> Router {
    let watch = Watch::new(&http);
    table()
        .into_iter()
        .fold(Router::new(), twice)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(http)
        .layer(watch)
}

fn twice(router: Router<Http>, route: Route) -> Router<Http> {
    router.route(route.path, route.answers.clone()).route(&format!("/api{}", route.path), route.answers)
}

/// The second listener: metrics and probes, apart from the API so that they never face the internet.
pub fn admin_router(health: &Health, metrics: &Metrics, duty: Duty) -> Router {
    Router::new()
        .route("/metrics", get(probes::metrics))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::admin_ready))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Probed { health: health.clone(), metrics: metrics.clone(), duty })
        .layer(map_response(seal::sealed))
}

async fn unknown() -> Problem {
    Problem::not_found("The requested resource was not found.")
}

async fn wrong_method() -> Problem {
    Problem::transport(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed on this resource.")
}
