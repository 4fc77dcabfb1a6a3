//! When a call was where on the clock: the phone's axis, and the moment the bridge had let go of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aria_bridge::hosting::Registry;
use sim::phone::{Moment, Phone};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

/// A call that the bridge still holds so long after its end is held for ever.
const RELEASE_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
struct Seen {
    zero: Instant,
    released: Option<Instant>,
}

/// Follows all calls of a phone.
pub struct Watch {
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to follow the calls of `phone`, which are held in `registry`.
    pub fn start(phone: &Phone, registry: Arc<Registry>) -> Self {
        let seen: Arc<Mutex<HashMap<String, Seen>>> = Arc::default();
        let mut events = phone.events();
        let book = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let event = match events.recv().await {
                    Ok(event) => event,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                let now = Instant::now();
                let zero = now.checked_sub(event.entry.at).unwrap_or(now);
                let mut book_now = book.lock().expect("nobody panics with it");
                let first = !book_now.contains_key(&event.call_sid);
                let known = book_now.entry(event.call_sid.clone()).or_insert(Seen { zero, released: None });
                // Events are told a little late, never early.
                known.zero = known.zero.min(zero);
                drop(book_now);
                let begun = matches!(event.entry.what, Moment::WebhookAnswered { .. });
                if first || begun {
                    tokio::spawn(follow(event.call_sid, Arc::clone(&registry), Arc::clone(&book), begun));
                }
            }
        });
        Self { seen, task }
    }

    /// Sample 0 of the call's axis, and when the bridge had let go of it.
    pub async fn released(&self, call_sid: &str) -> (Instant, Instant) {
        let limit = Instant::now() + RELEASE_LIMIT;
        loop {
            let seen = self.seen.lock().expect("nobody panics with it").get(call_sid).copied();
            if let Some(Seen { zero, released: Some(released) }) = seen {
                return (zero, released);
            }
            assert!(Instant::now() < limit, "the bridge does not let go of the call");
            // Nothing tells when another task has written its entry.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits for the end of one call and notes it. A call that is over before it could be looked at has ended now.
async fn follow(
    call_sid: String,
    registry: Arc<Registry>,
    book: Arc<Mutex<HashMap<String, Seen>>>,
    begun: bool,
) {
    match registry.line(&call_sid) {
        Some(line) => drop(line.ended().await),
        None if begun => {}
        None => return,
    }
    let mut book = book.lock().expect("nobody panics with it");
    if let Some(seen) = book.get_mut(&call_sid) {
        seen.released.get_or_insert(Instant::now());
    }
}
