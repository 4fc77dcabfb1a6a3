//! Calls that we place: who may be called and how often, what was asked for, and that it is asked for once.

mod keys;
mod orders;
mod policy;

use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::call::CallEnd;
use crate::config::{E164, Outbound};

pub use keys::{Answer, Key, KeyError, MAX_KEY_BYTES};
pub use orders::{Errand, Ordered};
pub use policy::Forbidden;

use keys::Keys;
use orders::Orders;
use policy::Policy;

/// The calls that were placed and are not answered yet, and what is left of earlier requests. Of one process, and lost with it.
pub struct Book {
    inner: Mutex<Inner>,
    started: Instant,
}

#[derive(Default)]
struct Inner {
    policy: Policy,
    orders: Orders,
    keys: Keys,
}

impl Default for Book {
    fn default() -> Self {
        Self { inner: Mutex::default(), started: Instant::now() }
    }
}

impl Book {
    /// Whether `to` may be called now; counts it as called. `denied` are prefixes that are never called, beside those built in.
    pub fn permit(
        &self,
        outbound: &Outbound,
        denied: &[String],
        to: &E164,
        now: Instant,
    ) -> Result<(), Forbidden> {
        let now = now.saturating_duration_since(self.started);
        self.lock().policy.handle_request(outbound, denied, to, now)
    }

    /// Opens a request with an `Idempotency-Key`. `request` is what is asked for: the same key may not ask for anything else.
    pub fn begin(&self, key: &str, request: &[u8], now: Instant) -> Result<Key, KeyError> {
        self.lock().keys.begin(key, request, now)
    }

    /// Its answer, which every repetition gets from now on. `None`: nothing was done, and the key is free again.
    pub fn settle(&self, key: &Key, answer: Option<Answer>) {
        self.lock().keys.settle(key, answer);
    }

    /// Notes what a call is to be about; the token is to come back with Twilio's webhook and callbacks.
    pub fn order(&self, errand: Errand, now: Instant) -> String {
        self.lock().orders.order(errand, now)
    }

    /// What the token stands for in this call. The first call that shows it is the only one.
    pub fn redeem(&self, token: &str, call_sid: &str, now: Instant) -> Option<Errand> {
        self.lock().orders.redeem(token, call_sid, now)
    }

    /// Twilio says that the call is over: perhaps before it has told us the call's name.
    pub fn over(&self, token: &str, end: CallEnd) {
        self.lock().orders.over(token, end);
    }

    /// Twilio has named the call. Why it is over already, if it is.
    pub fn named(&self, token: &str, call_sid: &str, now: Instant) -> Ordered {
        self.lock().orders.named(token, call_sid, now)
    }

    /// It was not placed.
    pub fn forget(&self, token: &str) {
        self.lock().orders.forget(token);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}
