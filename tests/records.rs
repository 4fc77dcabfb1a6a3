//! Records of whole calls, held by the real program: what its disk and its database do to the calls, and what to their records.
//!
//! The figure for fifty calls and a minute: `cargo test --release --test records -- --ignored --nocapture`.

mod support;

#[path = "store/database.rs"]
#[allow(dead_code, reason = "the records alone are looked at elsewhere")]
mod database;
#[path = "records/full_disk.rs"]
mod full_disk;
#[path = "records/outage.rs"]
mod outage;
#[path = "store/postgres.rs"]
mod postgres;
#[path = "records/talk.rs"]
mod talk;
