//! A host that keeps failing is left alone for a while: the caller need not wait for it, and it can recover.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Failures within [`WINDOW`] that open it. Fewer punish a single hiccup; more let callers wait in vain.
pub const FAILURES: usize = 5;
/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_secs(30);
/// How long it stays open before one request may try.
pub const OPEN: Duration = Duration::from_secs(30);
/// Hosts that are remembered. They come from configuration; reloads could gather more than are in use.
const MAX_HOSTS: usize = 1_024;

/// One host. Pure.
#[derive(Debug, Default)]
struct Breaker {
    /// When it failed of late, oldest first; at most [`FAILURES`].
    failures: Vec<Instant>,
    opened: Option<Instant>,
    probing: bool,
}

impl Breaker {
    /// Whether a request may go.
    fn admit(&mut self, now: Instant) -> bool {
        match self.opened {
            None => true,
            Some(at) if now < at + OPEN || self.probing => false,
            Some(_) => {
                self.probing = true;
                true
            }
        }
    }

    /// A request ended: `None` if it was given up before it could tell anything.
    fn handle_end(&mut self, now: Instant, failed: Option<bool>) {
        let probe = std::mem::take(&mut self.probing);
        match failed {
            None => {}
            Some(false) => *self = Self::default(),
            Some(true) if probe => self.opened = Some(now),
            Some(true) => {
                self.failures.retain(|at| now < *at + WINDOW);
                self.failures.push(now);
                if self.failures.len() >= FAILURES {
                    self.failures.clear();
                    self.opened = Some(now);
                }
            }
        }
    }
}

/// All hosts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Breakers(Arc<Mutex<HashMap<String, Breaker>>>);

impl Breakers {
    /// Asks for a request to `host`. `None`: it is left alone.
    pub fn admit(&self, host: &str) -> Option<Admission> {
        let mut hosts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
            hosts.clear();
        }
        let admitted = hosts.entry(host.to_owned()).or_default().admit(Instant::now());
        admitted.then(|| Admission { hosts: self.clone(), host: host.to_owned(), failed: None })
    }
}

/// A request under way. Dropped without a word, as when its call ends, it proves nothing.
#[derive(Debug)]
pub(super) struct Admission {
    hosts: Breakers,
    host: String,
    failed: Option<bool>,
}

impl Admission {
    /// How it ended.
    pub fn end(mut self, failed: bool) {
        self.failed = Some(failed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut hosts = self.hosts.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(breaker) = hosts.get_mut(&self.host) {
            breaker.handle_end(Instant::now(), self.failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed(breaker: &mut Breaker, now: Instant, times: usize) {
        for _ in 0..times {
            breaker.handle_end(now, Some(true));
        }
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let (mut breaker, zero) = (Breaker::default(), Instant::now());
        failed(&mut breaker, zero, FAILURES - 1);
        assert!(breaker.admit(zero));
        failed(&mut breaker, zero, 1);
        assert!(!breaker.admit(zero + OPEN - SECOND));
        assert!(breaker.admit(zero + OPEN), "one may try");
        assert!(!breaker.admit(zero + OPEN), "and no second");
        breaker.handle_end(zero + OPEN, Some(true));
        assert!(!breaker.admit(zero + OPEN + SECOND), "the probe failed");
        assert!(breaker.admit(zero + OPEN * 2));
        breaker.handle_end(zero + OPEN * 2, None);
        assert!(breaker.admit(zero + OPEN * 2), "a probe that was given up makes room for another");
        breaker.handle_end(zero + OPEN * 2, Some(false));
        failed(&mut breaker, zero + OPEN * 2, FAILURES - 1);
        assert!(breaker.admit(zero + OPEN * 2), "it began anew");
    }

    #[test]
    fn rare_failures_do_not_open_it() {
        let (mut breaker, zero) = (Breaker::default(), Instant::now());
        for step in 0..20 {
            failed(&mut breaker, zero + WINDOW / 4 * step, 1);
            assert!(breaker.admit(zero + WINDOW / 4 * step), "{step}");
        }
    }

    #[test]
    fn hosts_do_not_answer_for_each_other() {
        let breakers = Breakers::default();
        for _ in 0..FAILURES {
            breakers.admit("a:1").expect("it is closed").end(true);
        }
        assert!(breakers.admit("a:1").is_none());
        assert!(breakers.admit("b:1").is_some());
    }
}
