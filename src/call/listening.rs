//! Whether the model listens. Written by the call, read by the media socket, which keeps the caller's sound until then.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Off until a session is there, and while none is.
#[derive(Debug, Default)]
pub struct Listening {
    on: AtomicBool,
    turned_on: Notify,
}

impl Listening {
    /// The model listens, or does not any more.
    pub fn set(&self, on: bool) {
        self.on.store(on, Ordering::Release);
        if on {
            self.turned_on.notify_one();
        }
    }

    /// Whether it listens.
    pub fn get(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Resolves when it has begun to listen since the last wait. For one waiter.
    pub async fn turned_on(&self) {
        self.turned_on.notified().await;
    }
}
