//! The map of routes: what answers what. Each stands twice, bare and under `/api`.
//!
//! Ids are the rest of the path, slashes included: one SDK leaves them raw.
//!
//! **Invariant:** an unknown path and a wrong method get the error envelope like everything else.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get, patch, post};

use super::probes::{self, Duty, Probed};
use super::watch::Watch;
use super::{Http, Problem, click, customers, lead, links, origin, workspaces};
use crate::lifecycle::Health;
use crate::telemetry::Metrics;

/// The API.
pub fn router(http: Http) -> Router {
    let link = patch(links::change).put(links::change).get(links::show).delete(links::delete);
    let customer = get(customers::show).patch(customers::change).delete(customers::delete);
    let workspace = get(workspaces::show).patch(workspaces::change).put(workspaces::change);
    let routes = [
        ("/track/lead", post(lead::track)),
        ("/track/lead/client", post(lead::track_client).options(origin::preflight)),
        ("/track/click", post(click::track).options(origin::preflight)),
        ("/links", post(links::create).get(links::list)),
        ("/links/info", get(links::info)),
        ("/links/count", get(links::count)),
        ("/links/{*id}", link),
        ("/customers", get(customers::list)),
        ("/customers/{*id}", customer),
        ("/workspaces/{id}", workspace),
        ("/livez", get(probes::live)),
        ("/readyz", get(probes::ready)),
    ];
    let watch = Watch::new(&http.metrics, &http.health);
    routes
        .into_iter()
        .fold(Router::new(), twice)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(http)
        .layer(watch)
}

fn twice(router: Router<Http>, (path, methods): (&str, MethodRouter<Http>)) -> Router<Http> {
    router.route(path, methods.clone()).route(&format!("/api{path}"), methods)
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
}

async fn unknown() -> Problem {
    Problem::not_found("The requested resource was not found.")
}

async fn wrong_method() -> Problem {
    Problem::transport(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed on this resource.")
}
