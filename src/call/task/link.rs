//! The call's ties to the model: asking for a session, running it, letting it go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pipeline::{Command, ModelCodec, ModelPort};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Call, offered};
use crate::call::CallEnd;
use crate::call::session::Input;
use crate::openai::connect::ConnectError;
use crate::openai::leg::{self, LegCommand, LegEvent, Opened, Transport};
use crate::openai::received::Received;
use crate::openai::session;

/// Asking for a session, and whether it is still wanted.
pub(super) struct Dial {
    task: JoinHandle<Result<Opened, ConnectError>>,
    wanted: Arc<AtomicBool>,
}

impl Dial {
    /// The session may still be granted. Nobody waits for it: the leg is dropped with the task's outcome and gives it back.
    pub fn abandon(self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// A session that runs.
pub(super) struct Link {
    pub commands: mpsc::Sender<LegCommand>,
    events: mpsc::Receiver<LegEvent>,
    running: JoinHandle<Option<ModelPort>>,
    /// To hang up with.
    pub call_id: Option<String>,
    pub codec: ModelCodec,
    pub transport: Transport,
    pub received: Arc<Received>,
}

impl Call {
    /// Asks for a session.
    pub(super) fn dial(&mut self) {
        let client = self.deps.model.clone();
        let tools = self.deps.tools.definitions(&self.agent);
        let settings = session::settings(&self.agent, tools).to_string();
        let caller = client.safety_identifier(self.handle.inbound().person());
        let codecs = offered(self.agent.codec);
        let wanted = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&wanted);
        let transport = self.agent.transport;
        let task =
            tokio::spawn(
                async move { leg::open(&client, &settings, &caller, codecs, transport, &asked).await },
            );
        if let Some(old) = self.dial.replace(Dial { task, wanted }) {
            old.abandon();
        }
    }

    pub(super) fn handle_dialed(&mut self, dialed: Option<Result<Opened, ConnectError>>) {
        self.dial = None;
        let now = Instant::now();
        let first = self.session.sessions() == 1 && self.codec.is_none();
        match dialed {
            Some(Ok(leg)) => {
                let link = self.start(leg);
                if first {
                    self.codec = Some(link.codec);
                    self.command(Command::SetCodec(link.codec));
                    if let Some(port) = self.model_port.take() {
                        let _ = link.commands.try_send(LegCommand::Audio(port));
                    }
                    self.link = Some(link);
                    self.session.handle(now, Input::ModelAnswered);
                } else {
                    self.next = Some(link);
                }
            }
            Some(Err(error)) => {
                tracing::error!(call = %self.handle.inbound().call_sid, %error, "no model for this call");
                let refused = matches!(error, ConnectError::Refused { .. }) && !error.is_transient();
                let input = match (first, refused) {
                    (false, _) => Input::NextFailed,
                    (true, true) => Input::ModelFailed(CallEnd::ModelRefused),
                    (true, false) => Input::ModelFailed(CallEnd::ModelUnreachable),
                };
                self.session.handle(now, input);
            }
            None if first => self.session.handle(now, Input::ModelFailed(CallEnd::Internal)),
            None => self.session.handle(now, Input::NextFailed),
        }
    }

    fn start(&self, leg: Opened) -> Link {
        let (call_id, codec, transport) = (leg.call_id.clone(), leg.codec, leg.transport());
        let (commands, commands_out) = mpsc::channel(leg::COMMAND_QUEUE);
        let (events_in, events) = mpsc::channel(leg::EVENT_QUEUE);
        let received = Arc::new(Received::default());
        let running = tokio::spawn(leg.run(
            Arc::clone(&self.model_bell),
            Arc::clone(&self.sent),
            Arc::clone(&received),
            commands_out,
            events_in,
        ));
        Link { commands, events, running, call_id, codec, transport, received }
    }

    /// Closes a session's connection, tells OpenAI beside the call, and takes the rings back.
    pub(super) async fn hang_up(&mut self, link: Link) -> Option<ModelPort> {
        let _ = link.commands.try_send(LegCommand::Close);
        let model = self.deps.model.clone();
        if let Some(id) = link.call_id {
            tokio::spawn(async move { model.hang_up(&id).await });
        }
        // It ends as soon as it runs: it only says goodbye to its peer, without waiting.
        link.running.await.ok().flatten()
    }

    /// Lets the next session take over. `items` is what it is told.
    pub(super) async fn switch(&mut self, generation: u32, items: Vec<String>) {
        let Some(next) = self.next.take() else { return };
        for item in items {
            // The leg takes them as they come; it does not wait for anything itself.
            let _ = next.commands.send(LegCommand::Text(item)).await;
        }
        if let Some(old) = self.link.take() {
            self.model_port = self.hang_up(old).await;
        }
        self.codec = Some(next.codec);
        self.command(Command::Flush { generation });
        self.command(Command::SetCodec(next.codec));
        self.command(Command::OpenDownlink);
        if let Some(port) = self.model_port.take() {
            let _ = next.commands.send(LegCommand::Audio(port)).await;
        }
        self.link = Some(next);
    }
}

/// The next event of a session that may not be there.
pub(super) async fn next(link: &mut Option<Link>) -> Option<LegEvent> {
    match link {
        Some(link) => link.events.recv().await,
        None => std::future::pending().await,
    }
}

/// The end of dialling; `None` if its task failed.
pub(super) async fn finished(dial: &mut Option<Dial>) -> Option<Result<Opened, ConnectError>> {
    match dial {
        Some(dial) => (&mut dial.task).await.ok(),
        None => std::future::pending().await,
    }
}
