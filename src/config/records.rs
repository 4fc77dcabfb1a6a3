//! Where records of calls are kept, for how long, and who is told of calls.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::Secret;
use super::faults::{ConfigError, Faults, value_error};
use super::overlay::WEBHOOKS_SECRET;
use super::resolve::web_url;

const DEFAULT_URL: &str = "sqlite:aria.db";
/// The journal's folder where the database is not a file.
const DEFAULT_JOURNAL: &str = "aria.journal";
const DEFAULT_KEEP_DAYS: u64 = 90;
/// Some million records: days without a database at 30 calls a second's pace of a busy house.
const DEFAULT_JOURNAL_MB: u64 = 1024;
/// What a webhook may tell of.
const WEBHOOK_EVENTS: [&str; 4] = ["call.started", "call.ended", "transcript.ready", "tool.failed"];

/// Where records are kept, ready to use.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// `sqlite:` and a path, or `postgres://`. It may carry a password.
    pub database_url: Secret,
    /// The folder of the journal.
    pub journal: PathBuf,
    /// The journal's largest size, MiB. Full, it refuses records and no call is admitted.
    pub journal_mb: u64,
    /// Days after which a call's records are removed. `None`: never.
    pub keep_days: Option<u64>,
    /// Who is told of calls.
    pub webhooks: Option<WebhookSettings>,
    /// Where the sound of calls waits, if any is recorded: it is removed with their records.
    pub spool: Option<PathBuf>,
}

/// Who is told of calls.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where they are sent to.
    pub url: Url,
    /// What they are signed with (`ARIA_WEBHOOKS_SECRET` or a file).
    pub secret: Secret,
    /// Which are sent.
    pub events: BTreeSet<String>,
}

/// `[records]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawRecords {
    /// The folder of the journal. Default: beside the database file, `aria.journal` with Postgres.
    pub journal: Option<PathBuf>,
    /// The journal's largest size, MiB. Default 1024.
    pub journal_mb: Option<u64>,
    /// Days after which a call's records are removed; 0: never. Default 90.
    pub keep_days: Option<u64>,
}

/// `[webhooks]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawWebhooks {
    /// Where they are sent to.
    pub url: Option<String>,
    /// A file that holds the secret, unless `ARIA_WEBHOOKS_SECRET` does.
    pub secret_file: Option<PathBuf>,
    /// Which are sent. Default: all.
    pub events: Option<Vec<String>>,
}

/// `url`, `records` and `webhooks` are the file's; `env` gives the environment, which wins.
pub fn resolve<'a>(
    url: Option<&str>,
    records: RawRecords,
    webhooks: RawWebhooks,
    env: impl Fn(&str) -> Option<&'a str>,
) -> Result<RecordSettings, ConfigError> {
    let url = env("DATABASE_URL").or(url).unwrap_or(DEFAULT_URL);
    let mut faults = Faults::default();
    let beside = faults.ok(database_file(url)).map(|file| {
        file.map_or_else(|| PathBuf::from(DEFAULT_JOURNAL), |file| PathBuf::from(format!("{file}.journal")))
    });
    let journal_mb = records.journal_mb.unwrap_or(DEFAULT_JOURNAL_MB);
    faults.unless((1..=1024 * 1024).contains(&journal_mb), || {
        value_error("records.journal_mb", journal_mb.to_string(), "1 to 1048576")
    });
    let keep_days = records.keep_days.unwrap_or(DEFAULT_KEEP_DAYS);
    faults.unless(keep_days <= 36_500, || {
        value_error("records.keep_days", keep_days.to_string(), "0 (for ever) to 36500")
    });
    let webhooks = faults.ok(resolve_webhooks(webhooks, env(WEBHOOKS_SECRET)));
    let made = beside.zip(webhooks).map(|(beside, webhooks)| RecordSettings {
        database_url: Secret::new(url),
        journal: records.journal.unwrap_or(beside),
        journal_mb,
        keep_days: (keep_days > 0).then_some(keep_days),
        webhooks,
        spool: None,
    });
    faults.outcome(made)
}

/// The path in a `sqlite:` URL; `None` with Postgres. The URL itself is never shown.
fn database_file(url: &str) -> Result<Option<&str>, ConfigError> {
    let allowed = "sqlite: and the path of a file, or postgres://USER:PASSWORD@HOST/DATABASE";
    let scheme = url.split(':').next().unwrap_or_default();
    let wrong = || value_error("DATABASE_URL / database_url", format!("{scheme}:…"), allowed);
    match scheme {
        "sqlite" => {
            let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
            let path = path.split('?').next().unwrap_or_default();
            if path.is_empty() || path == ":memory:" { Err(wrong()) } else { Ok(Some(path)) }
        }
        "postgres" | "postgresql"
            if Url::parse(url).is_ok_and(|url| url.has_host() || url.query().is_some()) =>
        {
            Ok(None)
        }
        _ => Err(wrong()),
    }
}

fn resolve_webhooks(
    typed: RawWebhooks,
    secret: Option<&str>,
) -> Result<Option<WebhookSettings>, ConfigError> {
    let Some(url) = typed.url else { return Ok(None) };
    let mut faults = Faults::default();
    let url = faults.ok(web_url("webhooks.url", &url));
    let secret = match (secret, typed.secret_file) {
        (Some(secret), _) => Some(secret.to_owned()),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path).map(|secret| secret.trim().to_owned());
            faults.ok(read.map_err(|source| ConfigError::Unreadable { path, source }))
        }
        (None, None) => Some(String::new()),
    };
    faults.unless(secret.as_ref().is_none_or(|secret| !secret.is_empty()), || {
        let allowed = "a secret: webhooks are signed, so that their receiver can tell them from forged ones";
        value_error(format!("{WEBHOOKS_SECRET} / webhooks.secret_file"), "", allowed)
    });
    let events = typed.events.unwrap_or_else(|| WEBHOOK_EVENTS.map(str::to_owned).into());
    for unknown in events.iter().filter(|event| !WEBHOOK_EVENTS.contains(&event.as_str())) {
        faults.note(value_error("webhooks.events", unknown, WEBHOOK_EVENTS.join(", ")));
    }
    let events = events.into_iter().collect();
    let made =
        url.zip(secret).map(|(url, secret)| WebhookSettings { url, secret: Secret::new(secret), events });
    faults.outcome(made.map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<RecordSettings, ConfigError> {
        resolve(Some(url), RawRecords::default(), RawWebhooks::default(), |_| None)
    }

    #[test]
    fn the_journal_lies_beside_the_database() {
        assert_eq!(of("sqlite:aria.db").unwrap().journal, PathBuf::from("aria.db.journal"));
        assert_eq!(of("sqlite:///var/a.db?mode=rwc").unwrap().journal, PathBuf::from("/var/a.db.journal"));
        assert_eq!(of("postgres://u:p@h/d").unwrap().journal, PathBuf::from("aria.journal"));
    }

    #[test]
    fn a_wrong_url_is_refused_without_being_shown() {
        for wrong in ["mysql://u:canary@h/d", "sqlite:", "sqlite::memory:", "aria.db", "postgres:canary"] {
            let error = of(wrong).unwrap_err().to_string();
            assert!(error.contains("database_url") && !error.contains("canary"), "{error}");
        }
        assert!(!format!("{:?}", of("postgres://u:canary@h/d").unwrap()).contains("canary"));
    }

    #[test]
    fn webhooks_need_a_secret_and_known_events() {
        let with = |events: Option<Vec<String>>, secret: Option<&'static str>| {
            let webhooks =
                RawWebhooks { url: Some("http://127.0.0.1:9/hook".into()), events, ..RawWebhooks::default() };
            let env = |name: &str| secret.filter(|_| name == WEBHOOKS_SECRET);
            resolve(None, RawRecords::default(), webhooks, env)
        };
        assert!(with(None, None).unwrap_err().to_string().contains("secret"));
        assert!(
            with(Some(vec!["call.begun".into()]), Some("s"))
                .unwrap_err()
                .to_string()
                .contains("call.started")
        );
        assert_eq!(with(None, Some("s")).unwrap().webhooks.unwrap().events.len(), 4);
    }
}
