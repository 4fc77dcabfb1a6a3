//! The call's ties to the model: asking for a session, running it, letting it go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pipeline::{Command, ModelPort};
use tokio::task::JoinHandle;

use super::{Call, Deps};
use crate::call::CallEnd;
use crate::call::session::Input;
use crate::config::Agent;
use crate::network::Seat;
use crate::openai::connect::ConnectError;
use crate::openai::leg::{self, LegCommand, LegEvent, Rings};
use crate::openai::link::Link;
use crate::openai::session;
use crate::openai::standby::Kind;

/// Asking for a session, and whether it is still wanted.
pub(super) struct Dial {
    task: JoinHandle<Result<Link, ConnectError>>,
    wanted: Arc<AtomicBool>,
}

impl Dial {
    /// The session may still be granted. Nobody waits for it: it is dropped with the task's outcome, which gives it back.
    pub fn abandon(self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

impl Call {
    /// Takes a session that waits for calls, or asks for one.
    pub(super) fn dial(&mut self) {
        let client = self.deps.model.clone();
        let tools = self.deps.tools.definitions(&self.agent);
        let settings = session::settings(&self.agent, tools);
        let kept = self.ready.take().or_else(|| {
            let here = Some(self.seat.core());
            self.standby_fits.then(|| ready(&self.deps, &self.agent, here)).flatten().map(|(link, _)| link)
        });
        let caller = client.safety_identifier(self.handle.inbound().person());
        let codecs = session::codecs(self.agent.codec);
        let wanted = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&wanted);
        let transport = self.agent.transport;
        let here = self.seat.runtime().clone();
        let task = self.deps.network.control().spawn(async move {
            if let Some(link) = kept {
                return Ok(link);
            }
            let opened = leg::open(&client, &settings.to_string(), &caller, codecs, transport, &asked).await;
            opened.map(|opened| opened.start(&here))
        });
        if let Some(old) = self.dial.replace(Dial { task, wanted }) {
            old.abandon();
        }
    }

    pub(super) fn handle_dialed(&mut self, dialed: Option<Result<Link, ConnectError>>) {
        self.dial = None;
        let now = Instant::now();
        let first = self.session.sessions() == 1 && self.codec.is_none();
        match dialed {
            Some(Ok(link)) => {
                if first {
                    self.codec = Some(link.codec);
                    self.command(Command::SetCodec(link.codec));
                    if let Some(port) = self.model_port.take() {
                        link.try_send(LegCommand::Audio(self.rings(port)));
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

    /// The call's rings for a session.
    pub(super) fn rings(&self, port: ModelPort) -> Box<Rings> {
        Box::new(Rings { port, bell: Arc::clone(&self.model_bell), sent: Arc::clone(&self.sent) })
    }

    /// Lets the next session take over. `items` is what it is told.
    pub(super) async fn switch(&mut self, generation: u32, items: Vec<String>) {
        let Some(next) = self.next.take() else { return };
        for item in items {
            next.send(LegCommand::Text(item)).await;
        }
        if let Some(old) = self.link.take() {
            self.model_port = old.close().await;
        }
        self.codec = Some(next.codec);
        self.command(Command::Flush { generation });
        self.command(Command::SetCodec(next.codec));
        self.command(Command::OpenDownlink);
        if let Some(port) = self.model_port.take() {
            next.send(LegCommand::Audio(self.rings(port))).await;
        }
        self.link = Some(next);
    }
}

/// A session that waited for calls of this agent, and its seat; one that is `here`, if there is one.
pub(super) fn ready(deps: &Deps, agent: &Agent, here: Option<usize>) -> Option<(Link, Seat)> {
    if agent.standby == 0 {
        return None;
    }
    let settings = session::settings(agent, deps.tools.definitions(agent));
    let taken = deps.standby.take(&Kind::of(agent), &settings, here);
    let outcome = if taken.is_some() { "ready" } else { "none" };
    metrics::counter!("aria_standby_taken_total", "outcome" => outcome).increment(1);
    taken
}

/// The next event of a session that may not be there.
pub(super) async fn next(link: &mut Option<Link>) -> Option<LegEvent> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

/// The end of dialling; `None` if its task failed.
pub(super) async fn finished(dial: &mut Option<Dial>) -> Option<Result<Link, ConnectError>> {
    match dial {
        Some(dial) => (&mut dial.task).await.ok(),
        None => std::future::pending().await,
    }
}
