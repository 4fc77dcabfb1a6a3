//! Sends what is in the outbox to the operator's URL, at least once each, until it is taken or given up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt;
use sqlx::AnyPool;
use url::Url;

use super::applier::Standing;
use super::outbox::{self, Due};
use super::sign::{SIGNATURE_HEADER, sign};
use super::unix_ms;
use crate::config::{Secret, WebhookSettings};

/// Tries before a webhook is given up: with the waits between them some eight hours.
pub const MAX_ATTEMPTS: u32 = 20;
/// The wait after the first try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// It doubles no further than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Sent side by side. A receiver that hangs holds up no more than these.
const SIDE_BY_SIDE: u32 = 8;
/// For so long nobody else sends what was claimed: longer than a receiver may take.
const LEASE: Duration = Duration::from_secs(30);
/// How often the outbox is looked at when nothing seems to happen: retries, and what other bridges left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Carries webhooks out.
pub struct Courier {
    http: reqwest::Client,
    url: Url,
    secret: Secret,
    pool: AnyPool,
}

impl Courier {
    /// For an operator's own URL, which is trusted as it stands: it may lead inside. What it answers is not: no redirect is followed.
    pub fn new(settings: &WebhookSettings, pool: AnyPool) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("aria/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, url: settings.url.clone(), secret: settings.secret.clone(), pool })
    }

    /// Works until it is aborted.
    pub async fn run(self, standing: Arc<Standing>) {
        loop {
            let now = unix_ms();
            let due = outbox::claim(&self.pool, now, now + LEASE.as_millis() as u64, SIDE_BY_SIDE).await;
            match due {
                Ok(due) if due.is_empty() => {
                    let _ = tokio::time::timeout(LOOK_EVERY, standing.news.notified()).await;
                }
                Ok(due) => {
                    join_all(due.iter().map(|due| self.deliver(due))).await;
                }
                // The applier tells of a database that is away.
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn deliver(&self, due: &Due) {
        let error = self.send(due).await.err();
        let outcome = match (&error, due.attempts >= MAX_ATTEMPTS) {
            (None, _) => "delivered",
            (Some(_), false) => "failed",
            (Some(_), true) => "given_up",
        };
        metrics::counter!("aria_webhooks_total", "outcome" => outcome).increment(1);
        let noted = match &error {
            None => outbox::delivered(&self.pool, &due.id).await,
            Some(error) => {
                let wait = wait(due.attempts, rand::rng().random_range(0.0..1.0));
                let next = (due.attempts < MAX_ATTEMPTS).then(|| unix_ms() + wait.as_millis() as u64);
                if next.is_none() {
                    tracing::error!(webhook = %due.id, %error, "a webhook is given up");
                }
                outbox::failed(&self.pool, &due.id, next, error).await
            }
        };
        if let Err(error) = noted {
            // The lease ends, and it goes out again: at least once.
            tracing::warn!(webhook = %due.id, %error, "what became of a webhook could not be noted");
        }
    }

    async fn send(&self, due: &Due) -> Result<(), String> {
        let signature = sign(self.secret.expose(), unix_ms() / 1000, &due.body);
        let request = self
            .http
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature)
            .header("aria-event-id", &due.id)
            .body(due.body.clone());
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("HTTP {}", response.status().as_u16())),
            // The URL may carry a password.
            Err(error) => Err(error.without_url().to_string()),
        }
    }
}

/// How long after try number `attempt` the next one is due. `chance`, 0 to 1, spreads the tries of many.
fn wait(attempt: u32, chance: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(20));
    doubled.min(LONGEST_WAIT).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_are_spread() {
        assert_eq!(wait(1, 1.0), Duration::from_secs(1));
        assert_eq!(wait(1, 0.0), Duration::from_millis(500));
        assert_eq!(wait(5, 1.0), Duration::from_secs(16));
        assert_eq!(wait(MAX_ATTEMPTS, 1.0), LONGEST_WAIT);
        let all: Duration = (1..MAX_ATTEMPTS).map(|n| wait(n, 0.5)).sum();
        assert!(all > Duration::from_secs(5 * 3600), "{all:?}");
    }
}
