//! A session at work: its task and the channels to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use pipeline::{ModelCodec, ModelPort};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::connect::Hold;
use super::leg::{COMMAND_QUEUE, EVENT_QUEUE, LegCommand, LegEvent, Opened, Transport};
use super::received::Received;

/// A session that runs. Dropped it is closed and hung up.
pub struct Link {
    commands: mpsc::Sender<LegCommand>,
    events: mpsc::Receiver<LegEvent>,
    /// Events that were read to learn whether the session works.
    early: VecDeque<LegEvent>,
    running: JoinHandle<Option<ModelPort>>,
    hold: Option<Hold>,
    /// What the model wants to hear.
    pub codec: ModelCodec,
    /// The way that was taken: never [`Transport::Auto`].
    pub transport: Transport,
    /// Where the model's sound has come to.
    pub received: Arc<Received>,
}

impl Opened {
    /// Sets the session to work on `runtime`, which serves its socket from now on.
    pub fn start(mut self, runtime: &Handle) -> Link {
        let (codec, transport, hold) = (self.codec, self.transport(), self.hold.take());
        let (commands, commands_out) = mpsc::channel(COMMAND_QUEUE);
        let (events_in, events) = mpsc::channel(EVENT_QUEUE);
        let received = Arc::new(Received::default());
        let running = runtime.spawn(self.run(Arc::clone(&received), commands_out, events_in));
        Link { commands, events, early: VecDeque::new(), running, hold, codec, transport, received }
    }
}

impl Link {
    /// `rtc_…`, if the server names the session.
    pub fn call_id(&self) -> Option<&str> {
        self.hold.as_ref()?.call_id()
    }

    /// What the session tells next. May be dropped and called again at any time.
    pub async fn next(&mut self) -> Option<LegEvent> {
        match self.early.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// Waits for the server's first event, which is told once more by [`Self::next`]; `false` if it does not come before `until`.
    pub(super) async fn speaks(&mut self, until: Instant) -> bool {
        loop {
            match tokio::time::timeout_at(until.into(), self.events.recv()).await {
                Ok(Some(event @ LegEvent::Text(_))) => {
                    self.early.push_back(event);
                    return true;
                }
                Ok(Some(event)) if !matches!(event, LegEvent::Lost) => self.early.push_back(event),
                _ => return false,
            }
        }
    }

    /// Whether the session has ended by itself.
    pub fn is_over(&self) -> bool {
        self.running.is_finished()
    }

    /// Without waiting; `false` if [`COMMAND_QUEUE`] commands wait, or the session is over.
    pub fn try_send(&self, command: LegCommand) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Waits while [`COMMAND_QUEUE`] commands wait, which the leg takes as they come.
    pub async fn send(&self, command: LegCommand) {
        // A session that is over tells so by its events.
        let _ = self.commands.send(command).await;
    }

    /// Ends the session: the peer is told, OpenAI over HTTP as well, beside the call. The leg gives the rings back as soon as it runs: it
    /// waits for nothing.
    pub async fn close(mut self) -> Option<ModelPort> {
        drop(self.hold.take());
        let _ = self.commands.try_send(LegCommand::Close);
        self.running.await.ok().flatten()
    }

    /// Tells the peer that it is over. What is left is to [`Hold::hang_up`].
    pub fn end(mut self) -> Option<Hold> {
        let _ = self.commands.try_send(LegCommand::Close);
        self.hold.take()
    }
}
