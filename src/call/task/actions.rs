//! Doing what the state machine asks for.

use std::sync::Arc;
use std::time::Instant;

use pipeline::Command;

use super::Call;
use crate::call::manner::Manner;
use crate::call::session::{Action, Input};
use crate::call::{CallEnd, CallEvent, Clip, MediaCommand, Onward, clip};
use crate::config::{Agent, Settings};
use crate::openai::rtc::LegCommand;
use crate::openai::wire::{ClientEvent, EVENT_ID};

/// How a call of this agent is to be held.
pub(super) fn manner(agent: &Agent, settings: &Settings) -> Manner {
    Manner {
        greeting: agent.greeting.clone(),
        max_call: settings.limits.max_call,
        renew_after: settings.limits.renew_session,
        ..Manner::default()
    }
}

impl Call {
    /// Does what the state machine asks for. Returns the reason once the call is over.
    pub(super) async fn act(&mut self) -> Option<CallEnd> {
        let mut changed = false;
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(event) => self.send(&event),
                Action::Interrupt { generation, since } => {
                    // `clear` first: it is what the caller hears.
                    self.media(MediaCommand::Clear { generation, since });
                    self.cut = self.link.as_ref().map(|link| link.received.place());
                    self.command(Command::Flush { generation });
                }
                Action::OpenDownlink => self.command(Command::OpenDownlink),
                Action::Hold => self.media(MediaCommand::Hold),
                Action::Resume => self.media(MediaCommand::Resume),
                Action::Play(which) => {
                    let sound = self.recording(which);
                    self.media(MediaCommand::Play { sound });
                }
                Action::PressKeys(keys) => self.media(MediaCommand::Play { sound: clip::tones(&keys) }),
                Action::Mark(name) => self.media(MediaCommand::Mark { name }),
                Action::Listen(on) => self.listening.set(on),
                Action::RunTool { call_id, name, arguments } => self.run_tool(call_id, name, arguments),
                Action::Dial => self.dial(),
                Action::Switch { generation, items } => {
                    let items = items.iter().map(|item| self.number(item)).collect();
                    self.switch(generation, items).await;
                    self.session.handle(Instant::now(), Input::Switched);
                }
                Action::TransferTo(_name) => {}
                Action::Onward(onward) => self.let_go(onward),
                Action::Message { to, body } => self.message(to, body),
                Action::Tell(event) => {
                    changed = true;
                    self.tell(event);
                }
                Action::End(reason) => return Some(reason),
            }
        }
        if changed {
            self.refresh_transcript();
        }
        None
    }

    fn send(&mut self, event: &ClientEvent) {
        let text = self.number(event);
        if self.link.as_ref().is_none_or(|link| link.commands.try_send(LegCommand::Text(text)).is_err()) {
            metrics::counter!("aria_model_events_unsent_total").increment(1);
        }
    }

    fn number(&mut self, event: &ClientEvent) -> String {
        self.events_sent += 1;
        event.to_json(&format!("{EVENT_ID}{}", self.events_sent))
    }

    fn media(&self, command: MediaCommand) {
        if let Some(media) = &self.media
            && media.try_send(command).is_err()
        {
            metrics::counter!("aria_media_commands_dropped_total").increment(1);
        }
    }

    fn recording(&self, which: Clip) -> Arc<[u8]> {
        match which {
            Clip::Greeting | Clip::Wait => clip::wait(),
        }
    }

    fn run_tool(&mut self, call_id: String, name: String, arguments: String) {
        let run = self.deps.tools.run(&self.agent, &name, arguments);
        self.tools.spawn(async move {
            let begun = Instant::now();
            let result = run.await;
            let ok = result.is_ok();
            let output = result.unwrap_or_else(|error| error.for_the_model());
            Input::ToolDone { call_id, name, output, ok, took: begun.elapsed(), effect: None }
        });
    }

    /// Closes the stream. Twilio then asks what to do with the call, and is told to put it through.
    fn let_go(&mut self, onward: Onward) {
        tracing::info!(call = %self.handle.inbound().call_sid, to = %onward.name, "putting the caller through");
        *self.handle.0.onward.lock().unwrap_or_else(|e| e.into_inner()) = Some(onward);
        self.media(MediaCommand::Close { code: 1000, reason: "transfer" });
    }

    fn message(&self, to: String, body: String) {
        let _ = (to, body);
    }

    fn tell(&mut self, event: CallEvent) {
        self.records.tell(&event, &self.session);
        if let CallEvent::Progress { step, at_ms } = &event {
            let mut snapshot = self.handle.0.snapshot.lock().unwrap_or_else(|e| e.into_inner());
            snapshot.progress.push((*step, *at_ms));
        }
        if let Some(observers) = self.handle.0.events.get() {
            // The last of them may have left.
            let _ = observers.send(event);
        }
    }
}
