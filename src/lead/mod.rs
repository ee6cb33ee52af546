//! The pure values of a lead: what a caller may wish, what travels, what becomes of it.
//!
//! Enters: bytes of a request or of a message. Leaves: checked values, or the first fault.
//! Everything here can be tested without an engine, a clock or a runtime.
//!
//! **Invariant:** nothing in this room does I/O, awaits, logs, or knows any other room.

pub mod text;
pub mod trace;
pub mod json;
pub mod fault;
pub mod id;
pub mod key;
pub mod mode;
pub mod track;
pub mod batch;
pub mod click;
pub mod message;
pub mod ending;
pub mod names;
pub mod diary;

pub use click::TrackClick;
pub use diary::{DiaryLine, Promise};
pub use ending::{Ending, Reason};
pub use fault::{Fault, FieldFault};
pub use key::{LeadKey, event_key, shard};
pub use message::LeadMessage;
pub use mode::Mode;
pub use trace::Trace;
pub use track::{Schema, TrackLead};
