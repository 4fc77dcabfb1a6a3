//! A database for a test, one of both kinds, and records to put into it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aria_bridge::config::{RecordSettings, Sources, load};
use aria_bridge::store::{Begun, Ended, Record, Spent, Store, System, Turn};
use serde_json::json;

use super::postgres::Postgres;

/// A database and the folder of its journal.
pub struct Base {
    pub url: String,
    pub folder: PathBuf,
    pub server: Option<Postgres>,
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Base {
    pub fn sqlite(name: &str) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("cargo's directory for tests is writable");
        Self { url: format!("sqlite:{}", folder.join("aria.db").display()), folder, server: None }
    }

    pub fn postgres(name: &str) -> Option<Self> {
        let server = Postgres::start(name)?;
        let url = server.url();
        Some(Self { url, folder: server.folder().join("bridge"), server: Some(server) })
    }

    /// Both, or the one that can be had.
    pub fn both(name: &str) -> Vec<Self> {
        std::iter::once(Self::sqlite(name)).chain(Self::postgres(name)).collect()
    }

    pub fn settings(&self, more: &str) -> RecordSettings {
        settings(&self.url, &self.folder, more)
    }

    pub fn open(&self) -> Arc<Store> {
        Store::open(&self.settings(""), Arc::new(System)).expect("a store")
    }

    /// A number out of the database, past all that the store has of its own.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::any::install_default_drivers();
        use sqlx::{Connection, Row};
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.expect("it is there");
        let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("a row");
        row.get(0)
    }
}

pub fn settings(url: &str, folder: &Path, more: &str) -> RecordSettings {
    let journal = folder.join("journal");
    let environment = [
        ("DATABASE_URL", url),
        ("ARIA_RECORDS_JOURNAL", journal.to_str().expect("plain names")),
        ("ARIA_WEBHOOKS_SECRET", "whsec_test"),
    ];
    let environment: BTreeMap<_, _> = environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    load(&Sources { text: Some(more.into()), environment, ..Sources::default() }).expect("valid").records
}

pub fn begun(sid: &str, started_ms: u64) -> Begun {
    Begun {
        sid: sid.into(),
        account: "AC1".into(),
        direction: "inbound".into(),
        agent: "default".into(),
        model: "gpt-realtime-2.1".into(),
        from: "+15551000042".into(),
        to: "+15550000000".into(),
        started_ms,
        boot: String::new(),
    }
}

pub fn turn(sid: &str, position: u64, text: &str) -> Record {
    Record::Turn(Turn {
        sid: sid.into(),
        item_id: format!("item{position}"),
        position,
        speaker: if position.is_multiple_of(2) { "aria" } else { "caller" }.into(),
        text: text.into(),
        from_ms: position * 100,
        to_ms: position * 100 + 50,
        interrupted: false,
        latency: None,
    })
}

pub fn event(sid: &str, at_ms: u64) -> Record {
    Record::Event { sid: sid.into(), kind: "note".into(), at_ms, detail: json!({ "text": "x" }) }
}

pub fn ended(sid: &str, ended_ms: u64) -> Record {
    Record::Ended(Ended {
        sid: sid.into(),
        ended_ms,
        end: "caller_hung_up".into(),
        spent: Spent { total_tokens: 7, text_in: 3, cost_micros: Some(12), ..Spent::default() },
        interruptions: 1,
        uplink_p99_us: Some(900),
        downlink_p99_us: None,
        detail: json!({ "from": "…42", "sessions": 1 }),
    })
}
