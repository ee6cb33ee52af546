//! The HTTP API: the contract's routes, each with and without the `/api` prefix.
//!
//! Enters: requests. Leaves: exactly one JSON answer each. Handlers read the request, ask `intake` or
//! `store`, and write the answer; what is a failure becomes a [`Problem`], and nothing else does.
//!
//! **Invariant:** every answer, whatever goes wrong, is 200 with JSON or an error in the contract's envelope.

mod state;
mod router;
mod routes;
mod wire;
mod server;
mod watch;
mod traced;
mod seal;
mod problem;
mod body;
mod fields;
mod query;
mod throttle;
mod auth;
mod keyring;
mod origin;
mod visitor;
mod bots;
mod lead;
mod batch;
mod click;
mod link_object;
mod link_form;
mod links;
mod customers;
mod workspaces;
mod probes;
pub mod readers;
mod openapi;

pub use click::forget_visitors;
pub use openapi::DOCUMENT as OPENAPI;
pub use probes::Duty;
pub use problem::Problem;
pub use router::{admin_router, router};
pub use routes::routes;
pub use server::serve;
pub use state::Http;
