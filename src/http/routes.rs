//! The table of routes: which path answers which methods, and what answers them.
//!
//! The router is built from it and the `OpenAPI` document is held against it, so that neither has a
//! route that the other lacks.
//!
//! **Invariant:** a method is named and gets its handler in one step.

use axum::handler::Handler;
use axum::http::HeaderMap;
use axum::routing::{MethodFilter, MethodRouter};

use super::openapi::Tag;
use super::{Http, batch, click, customers, lead, links, origin, probes, workspaces};

/// One path.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: &'static str,
    /// Lower case, as the document spells them.
    methods: Vec<&'static str>,
    pub(super) answers: MethodRouter<Http>,
}

macro_rules! methods {
    ($($method:ident $filter:ident),*) => {
        $(fn $method<H: Handler<T, Http>, T: 'static>(self, handler: H) -> Self {
            self.on(stringify!($method), MethodFilter::$filter, handler)
        })*
    };
}

impl Route {
    fn at(path: &'static str) -> Self {
        Self { path, methods: Vec::new(), answers: MethodRouter::new() }
    }

    methods! { get GET, post POST, patch PATCH, put PUT, delete DELETE, options OPTIONS }

    fn on<H: Handler<T, Http>, T: 'static>(mut self, name: &'static str, filter: MethodFilter, handler: H) -> Self {
        self.methods.push(name);
        self.answers = self.answers.on(filter, handler);
        self
    }
}

/// All of them. Ids are the rest of the path, slashes included: one SDK leaves them raw.
pub(super) fn table() -> Vec<Route> {
    let tag = Tag::new();
    vec![
        Route::at("/track/lead").post(lead::track),
        Route::at("/track/lead/batch").post(batch::track),
        Route::at("/track/lead/client").post(lead::track_client).options(origin::preflight),
        Route::at("/track/click").post(click::track).options(origin::preflight),
        Route::at("/links").post(links::create).get(links::list),
        Route::at("/links/info").get(links::info),
        Route::at("/links/count").get(links::count),
        Route::at("/links/{*id}").patch(links::change).put(links::change).get(links::show).delete(links::delete),
        Route::at("/customers").get(customers::list),
        Route::at("/customers/{*id}").get(customers::show).patch(customers::change).delete(customers::delete),
        Route::at("/workspaces/{id}").get(workspaces::show).patch(workspaces::change).put(workspaces::change),
        Route::at("/livez").get(probes::live),
        Route::at("/readyz").get(probes::ready),
        Route::at("/openapi.json").get(move |asked: HeaderMap| async move { tag.answer(&asked) }),
    ]
}

/// Every path, as `OpenAPI` spells it, and its methods in lower case; each stands also under `/api`.
#[must_use]
pub fn routes() -> Vec<(String, Vec<&'static str>)> {
    table().into_iter().map(|route| (route.path.replace("{*", "{"), route.methods)).collect()
}
