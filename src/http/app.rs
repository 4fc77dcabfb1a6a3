//! What the routes share.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::dispatch::Dispatch;
use super::tls::Tls;
use crate::config::{Secret, Settings};
use crate::hosting::outbound::Book;
use crate::hosting::rate::Bucket;
use crate::hosting::{Registry, Switchboard};
use crate::store::Store;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::rest;
use crate::twilio::signature::Verifier;

/// Operators watching live calls at once.
pub(super) const MAX_WATCHERS: usize = 64;
/// Log lines a second about refused requests: a flood of them is counted, not written down.
const REFUSALS_LOGGED_PER_SECOND: u32 = 5;

/// The web server's state.
pub struct App {
    /// The calls.
    pub registry: Arc<Registry>,
    /// As they were at the start.
    begun_with: Arc<Settings>,
    /// What we have called for.
    pub(super) outbound: Book,
    /// Twilio over HTTP; `None` without an account.
    pub(super) twilio: Option<rest::Client>,
    pub(super) switchboard: Arc<dyn Switchboard>,
    pub(super) public: PublicUrl,
    pub(super) verifier: Verifier,
    /// Whether a request may come without a signature: there is no key, and nobody but this machine reaches us.
    pub(super) unsigned_allowed: bool,
    pub(super) account_sid: Option<String>,
    pub(super) dispatch: Option<Dispatch>,
    pub(super) admin_token: Option<Secret>,
    pub(super) prometheus: Option<PrometheusHandle>,
    pub(super) store: Option<Arc<Store>>,
    /// `None`: plain HTTP.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) watchers: Arc<Semaphore>,
    refusals: Mutex<Bucket>,
    started: Instant,
}

impl App {
    /// For these settings. `switchboard` begins calls; `prometheus` is what `/metrics` shows.
    pub fn new(
        settings: &Settings,
        switchboard: Arc<dyn Switchboard>,
        prometheus: Option<PrometheusHandle>,
    ) -> Self {
        let tokens = [&settings.twilio.auth_token, &settings.twilio.auth_token_secondary];
        let verifier = Verifier::new(tokens.into_iter().flatten().cloned());
        Self {
            begun_with: Arc::new(settings.clone()),
            outbound: Book::default(),
            twilio: rest::Client::new(&settings.twilio),
            registry: Arc::new(Registry::new(settings.limits.max_calls, settings.limits.calls_per_second)),
            switchboard,
            public: PublicUrl::new(&settings.public_url),
            unsigned_allowed: !verifier.has_keys() && settings.public_url_is_loopback(),
            verifier,
            account_sid: settings.twilio.account_sid.clone(),
            dispatch: Dispatch::new(settings),
            admin_token: settings.admin_token.clone(),
            prometheus,
            store: None,
            tls: None,
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
            refusals: Mutex::new(Bucket::new(REFUSALS_LOGGED_PER_SECOND, REFUSALS_LOGGED_PER_SECOND)),
            started: Instant::now(),
        }
    }

    /// Past calls are read from here.
    pub fn with_store(self, store: Arc<Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// The listener speaks TLS.
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(Arc::new(tls)), ..self }
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.switchboard.settings().unwrap_or_else(|| Arc::clone(&self.begun_with))
    }

    /// Counts a refused request. Whether it is also worth a line in the log.
    pub(super) fn refused(&self, reason: &'static str) -> bool {
        metrics::counter!("aria_requests_refused_total", "reason" => reason).increment(1);
        let passed: Duration = self.started.elapsed();
        self.refusals.lock().unwrap_or_else(|e| e.into_inner()).take(passed)
    }
}
