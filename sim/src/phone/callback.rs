//! Status callbacks: asynchronous, perhaps twice, perhaps out of order.

use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use super::faults::Faults;
use super::report::Exchange;
use super::timeline::Moment;
use super::webhook::{Asker, Question};

/// Sends the callbacks of one call and gathers what came of them.
pub(crate) struct Callbacks {
    asker: Asker,
    duplicate: bool,
    reorder: bool,
    waiting: Option<(String, Question)>,
    running: JoinSet<()>,
    done: Arc<Mutex<Vec<Exchange>>>,
}

impl Callbacks {
    pub(crate) fn new(asker: Asker, faults: &Faults) -> Self {
        let (duplicate, reorder) = (faults.duplicate_callbacks, faults.reorder_callbacks);
        Self { asker, duplicate, reorder, waiting: None, running: JoinSet::new(), done: Arc::default() }
    }

    /// Sends one without waiting for the answer; or keeps it until its successor was sent.
    pub(crate) fn send(&mut self, event: &str, question: Question) {
        if self.reorder && self.waiting.is_none() {
            self.waiting = Some((event.to_owned(), question));
            return;
        }
        self.spawn(event.to_owned(), question);
        if let Some((event, question)) = self.waiting.take() {
            self.spawn(event, question);
        }
    }

    fn spawn(&mut self, event: String, question: Question) {
        for _ in 0..=usize::from(self.duplicate) {
            let (asker, event, question, done) =
                (self.asker.clone(), event.clone(), question.clone(), self.done.clone());
            self.running.spawn(async move {
                let exchange = asker.ask(question).await;
                asker.diary.at(exchange.answered, Moment::Callback { event, status: exchange.status });
                done.lock().expect("nothing panics while it holds the list").push(exchange);
            });
        }
    }

    /// Sends one after a while.
    pub(crate) fn send_later(&mut self, after: std::time::Duration, event: &str, question: Question) {
        let (asker, event, done) = (self.asker.clone(), event.to_owned(), self.done.clone());
        self.running.spawn(async move {
            tokio::time::sleep(after).await;
            let exchange = asker.ask(question).await;
            asker.diary.at(exchange.answered, Moment::Callback { event, status: exchange.status });
            done.lock().expect("nothing panics while it holds the list").push(exchange);
        });
    }

    /// Waits for all answers, each at most 15 s and those that were to be sent later, and returns them in order of their sending.
    pub(crate) async fn finish(mut self) -> Vec<Exchange> {
        if let Some((event, question)) = self.waiting.take() {
            self.spawn(event, question);
        }
        while self.running.join_next().await.is_some() {}
        let mut done =
            std::mem::take(&mut *self.done.lock().expect("nothing panics while it holds the list"));
        done.sort_by_key(|e| e.sent);
        done
    }
}
