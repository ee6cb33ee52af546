//! The command line on a real database: the checker of diaries names every kind of offender, and the
//! binary administers, looks up and refuses as its help says.
//!
//! **Invariant:** every offence here is planted by SQL, so the checker is tested and not the service.

mod books;
mod typed;
mod diary;
mod commands;
mod health;
mod replay;
mod import;
mod resume;
mod doctor;
mod queues;
mod prune;
mod top;
mod manual;
mod readme;
