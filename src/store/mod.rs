//! PostgreSQL: every statement Leadline knows, and how its failures are classified.
//!
//! Enters: values of the other rooms. Leaves: rows, or a [`StoreError`] that says whether the row or
//! the world is at fault. sqlx lives in this room only.
//!
//! **Invariant:** a transaction is begun in `write.rs` and nowhere else.

mod error;
mod tls;
mod servers;
mod pool;
mod write;
mod migrate;
mod resolve;
mod endings;
mod arrivals;
mod leads;
mod at_once;
mod parked;
mod horizons;
mod buried;
mod workspaces;
mod domains;
mod keys;
mod links;
mod link_lists;
mod clicks;
mod customers;
mod ledger;
mod lookup;
mod graves;
mod behind;
mod prune;
mod examine;

pub use arrivals::{Arrival, Click, CustomerKey};
pub use behind::Behind;
pub use buried::{Grave, identity};
pub use endings::{Ended, Known};
pub use error::StoreError;
pub use examine::{Clock, Facts, NEEDED, Server, Setting, examinees};
pub use graves::{BuriedFilter, BuriedLead};
pub use leads::NewLead;
pub use ledger::{CounterFault, EndingCount, LedgerRow, PlacedRow, Span, UnderWay};
pub use lookup::{FoundLead, ParkedLead};
pub use migrate::{Flaw, MigrateError, SchemaState, migrate, schema_state};
pub use parked::{NewParked, Woken};
pub use pool::Store;
pub use prune::{OldClicks, OldGraves, Pruned};
pub use resolve::{Found, FoundCustomer, FoundLink, Question};
pub use write::Tx;

pub use clicks::{ClickTarget, NewClick};
pub use customers::{Customer, CustomerChange, CustomerError, CustomerFilter, CustomerName};
pub use domains::Domain;
pub use keys::{CreatedKey, KeyHash, KeyKind, KeyRow, Opened, key_hash, same_hash};
pub use link_lists::{LinkFilter, LinkOrder, Page};
pub use links::{Link, LinkError, LinkName};
pub use workspaces::{Workspace, WorkspaceChange, WorkspaceError};
