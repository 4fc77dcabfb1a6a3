//! Records that survive: the same tests on SQLite and on Postgres, kills, outages, webhooks.
//!
//! Postgres is a private server on loopback, made for the test where its programs are found. `ARIA_POSTGRES=required` makes their
//! absence a failure.

#[path = "store/answers.rs"]
mod answers;
#[path = "store/database.rs"]
mod database;
#[path = "store/history.rs"]
mod history;
#[path = "store/kills.rs"]
mod kills;
#[path = "store/outage.rs"]
mod outage;
#[path = "store/postgres.rs"]
mod postgres;
#[path = "store/slow.rs"]
mod slow;
#[path = "store/webhooks.rs"]
mod webhooks;
