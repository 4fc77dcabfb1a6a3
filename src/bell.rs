//! The bell by which a thread that must not wait calls a task.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Rung by anyone, heard by one task. Rings before it listens are not lost, and count as one.
///
/// `tokio::sync::Notify` serves any number of listeners, for which it keeps a list behind a lock; with every frame of a call a bell is rung.
#[derive(Debug, Default)]
pub struct TaskBell {
    rung: AtomicBool,
    listener: AtomicWaker,
}

impl TaskBell {
    /// Rings. Neither waits nor allocates.
    pub fn ring(&self) {
        // Not a store: after two rings who hears the second must see what the first was for.
        self.rung.swap(true, Ordering::Release);
        self.listener.wake();
    }

    /// Resolves when it has rung since the last time this did. May be dropped and asked for again.
    pub async fn rung(&self) {
        poll_fn(|cx| self.poll_rung(cx)).await;
    }

    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.rung.load(Ordering::Relaxed) {
            self.listener.register(cx.waker());
        }
        // It may have rung before there was somebody to be woken.
        if self.rung.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl pipeline::Bell for TaskBell {
    fn ring(&self) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn rings_before_and_while_one_listens_are_heard_once() {
        let bell = Arc::new(TaskBell::default());
        bell.ring();
        bell.ring();
        bell.rung().await;
        let silent = tokio::time::timeout(Duration::from_millis(20), bell.rung()).await;
        assert!(silent.is_err(), "two rings were heard twice");
        let listener = tokio::spawn({
            let bell = Arc::clone(&bell);
            async move { bell.rung().await }
        });
        tokio::task::yield_now().await;
        bell.ring();
        listener.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn no_ring_is_lost_between_threads() {
        let (bell, answer) = (Arc::new(TaskBell::default()), Arc::new(TaskBell::default()));
        let other = std::thread::spawn({
            let (bell, answer) = (Arc::clone(&bell), Arc::clone(&answer));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for _ in 0..20_000 {
                    bell.ring();
                    runtime.block_on(answer.rung());
                }
            }
        });
        let heard = async {
            for _ in 0..20_000 {
                bell.rung().await;
                answer.ring();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("a ring was lost");
        other.join().unwrap();
    }
}
