//! How the house empties: no new calls, the living ones finish, then those that are left are ended.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Registry;
use crate::call::CallEnd;

/// How long calls that were ended may take to release what they hold. With [`LAST_WORDS`] it stays below 5 s.
const RELEASE: Duration = Duration::from_millis(3500);
/// How long Twilio is still answered after calls were ended: it asks what to say to their callers.
const LAST_WORDS: Duration = Duration::from_millis(1000);

/// SIGTERM and ctrl-c.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the two signals over from their defaults.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs from now to an empty house. `first` begins it: no call is admitted from then on, living ones have `limit` to finish.
/// `hurry` ends them at once. The web server must go on until this returns.
pub async fn drain(registry: &Registry, limit: Duration, first: impl Future, hurry: impl Future) {
    first.await;
    registry.drain();
    tracing::info!(live = registry.live(), "draining");
    tokio::select! {
        () = registry.empty() => return,
        () = tokio::time::sleep(limit) => {}
        _ = hurry => {}
    }
    let ended = registry.end_all(CallEnd::Shutdown);
    tracing::warn!(ended, "ending the calls that are left");
    if tokio::time::timeout(RELEASE, registry.empty()).await.is_err() {
        tracing::error!(live = registry.live(), "calls did not end in time");
    }
    tokio::time::sleep(LAST_WORDS).await;
}
