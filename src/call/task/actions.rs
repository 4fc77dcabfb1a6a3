//! Doing what the state machine asks for.

use std::sync::Arc;
use std::time::Instant;

use pipeline::Command;

use super::Call;
use crate::call::manner::{Barge, Manner};
use crate::call::session::{Action, Effect, Input};
use crate::call::{CallEnd, CallEvent, Clip, MediaCommand, Onward};
use crate::clip;
use crate::config::{Agent, Interruption, Settings, Tool};
use crate::openai::leg::{LegCommand, Transport};
use crate::openai::wire::{ClientEvent, EVENT_ID};
use crate::tools::{self, Outcome};

/// How a call of this agent is to be held.
pub(super) fn manner(agent: &Agent, settings: &Settings) -> Manner {
    let phrase = |tool: &Tool| Some((tool.name.clone(), tool.filler.clone()?));
    let limit = settings.limits.max_call;
    Manner {
        barge: match agent.interruption {
            Interruption::Always => Barge::Always,
            Interruption::Never => Barge::Never,
            Interruption::Confirm => Barge::confirm(agent.turn_detection.silence()),
        },
        greeting: agent.greeting.clone(),
        recorded_greeting: agent.recorded_greeting.as_ref().map(|greeting| greeting.text.clone()),
        max_call: agent.max_call.map_or(limit, |own| own.min(limit)),
        idle: agent.idle,
        renew_after: settings.limits.renew_session,
        voicemail: agent.voicemail.clone(),
        keys: agent.keys.clone(),
        fillers: agent.tools.iter().filter_map(phrase).collect(),
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
                Action::Mute { generation } => self.command(Command::Flush { generation }),
                Action::OpenDownlink => self.command(Command::OpenDownlink),
                Action::Hold => self.media(MediaCommand::Hold),
                Action::Resume => self.media(MediaCommand::Resume),
                Action::Play(which) => {
                    let (clip, sound) = (Some(which), self.recording(which));
                    self.media(MediaCommand::Play { clip, sound });
                }
                Action::PressKeys(keys) => {
                    self.media(MediaCommand::Play { clip: None, sound: clip::tones(&keys) });
                }
                Action::Mark(name) => self.media(MediaCommand::Mark { name }),
                Action::Listen(on) => self.listening.set(on),
                Action::RunTool { call_id, name, arguments } => self.run_tool(call_id, name, arguments),
                Action::Dial => self.dial(),
                Action::Switch { generation, items } => {
                    let items = items.iter().map(|item| self.number(item)).collect();
                    self.switch(generation, items).await;
                    self.session.handle(Instant::now(), Input::Switched);
                }
                Action::TransferTo(name) => self.transfer_to(name),
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
        let socket = self.link.as_ref().is_some_and(|link| link.transport == Transport::WebSocket);
        if socket && *event == ClientEvent::OutputAudioClear {
            // The leg is the output buffer there, and hears of the interruption by itself.
            return;
        }
        if !self.link.as_ref().is_some_and(|link| link.try_send(LegCommand::Text(text))) {
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
        let own = match which {
            Clip::Greeting => self.agent.recorded_greeting.as_ref(),
            Clip::Wait => self.agent.wait.as_ref(),
        };
        own.map_or_else(clip::wait, |recording| Arc::clone(&recording.sound))
    }

    fn run_tool(&mut self, call_id: String, name: String, arguments: String) {
        let run = self.deps.tools.run(&self.desk, &name, arguments);
        let tool = async move {
            let Outcome { output_for_model: output, ok, effect, took } = run.await;
            Input::ToolDone { call_id, name, output, ok, took, effect: effect.map(effect_of) }
        };
        self.tools.spawn_on(tool, self.deps.network.control());
    }

    /// A key asks for a transfer. The configuration has checked that the target is there.
    fn transfer_to(&mut self, name: String) {
        if let Some(target) = self.agent.transfer_target(&name) {
            let onward = Onward { to: target.expose().to_owned(), name, summary: None };
            self.session.handle(Instant::now(), Input::Transfer(onward));
        }
    }

    /// Closes the stream. Twilio then asks what to do with the call, and is told to put it through.
    fn let_go(&mut self, onward: Onward) {
        tracing::info!(call = %self.handle.inbound().call_sid, to = %onward.name, "putting the caller through");
        *self.handle.0.onward.lock().unwrap_or_else(|e| e.into_inner()) = Some(onward);
        self.media(MediaCommand::Close { code: 1000, reason: "transfer" });
    }

    /// Sends a text message, beside the call: nobody waits for it.
    fn message(&self, to: String, body: String) {
        let count = |outcome: &'static str| {
            metrics::counter!("aria_messages_total", "outcome" => outcome).increment(1);
        };
        let inbound = self.handle.inbound();
        let Some(twilio) = self.deps.twilio.clone() else {
            tracing::warn!(call = %inbound.call_sid, "no text message without a Twilio account");
            return count("no_account");
        };
        let (call_sid, from) = (inbound.call_sid.clone(), inbound.ours().to_owned());
        self.deps.network.control().spawn(async move {
            match twilio.send_message(&from, &to, &body).await {
                Ok(()) => count("sent"),
                Err(error) => {
                    tracing::warn!(call = %call_sid, %error, "the text message was not sent");
                    count("failed");
                }
            }
        });
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

/// What a tool decided, in the conversation's words.
fn effect_of(effect: tools::Effect) -> Effect {
    match effect {
        tools::Effect::EndCall { farewell } => Effect::EndCall { farewell },
        tools::Effect::Transfer { target, name, warm_summary: summary } => {
            Effect::Transfer(Onward { name, to: target.expose().to_owned(), summary })
        }
        tools::Effect::SendMessage { to, body } => Effect::SendMessage { to: to.expose().to_owned(), body },
        tools::Effect::PressKeys { digits } => Effect::PressKeys(digits),
        tools::Effect::TakeNote { text } => Effect::TakeNote(text),
    }
}
