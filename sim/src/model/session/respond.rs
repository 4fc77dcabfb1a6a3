//! Responses: what the script says next, how it is made step by step, how it ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::Session;
use super::steps::Step;
use crate::model::conversation::not_found;
use crate::model::record::Transport;
use crate::model::refusal::Refusal;
use crate::model::sound::Spoken;
use crate::model::unverified::RateLimits;

/// Why a response is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// `response.create`.
    Client,
    /// The end of the caller's turn.
    Turn,
    /// `idle_timeout_ms`.
    Idle,
}

/// One output item in the making.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Speech { item_id: String, spoken: Spoken },
    Text { item_id: String, text: String },
    Call { item_id: String, call_id: String, name: String, arguments: String },
    Hosted { item_id: String, label: String, name: String, arguments: String },
}

/// A response in progress.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) in_conversation: bool,
    pub(super) parts: Vec<Part>,
    /// The turn of the script it took.
    pub(super) turn: Option<usize>,
    /// Items already finished.
    pub(super) output: Vec<Value>,
    /// The part being made, and what there is of it.
    pub(super) open: Option<usize>,
    pub(super) so_far: String,
    /// Its sound was cleared: what is still generated is not played.
    pub(super) muted: bool,
    modalities: Value,
    metadata: Value,
    voice: Value,
}

/// Responses in progress at once, out-of-band ones included.
const MAX_RESPONSES: usize = 16;
/// Characters of one delta of function-call arguments.
const ARGUMENT_CHARS: usize = 12;
/// How long a hosted server takes to answer.
const HOSTED: Duration = Duration::from_millis(400);
/// Time between deltas that are not bound to speech.
const DELTA: Duration = Duration::from_millis(5);

impl Session {
    pub(super) fn create_response(
        &mut self,
        request: &Value,
        cause: Cause,
        now: Duration,
    ) -> Result<(), Refusal> {
        let in_conversation = request["conversation"] != "none";
        if let Some(active) = self.responses.iter().find(|r| r.in_conversation && in_conversation) {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is \
                 finished before creating a new one.",
                active.id
            );
            return Err(Refusal::new("conversation_already_has_active_response", message, None));
        }
        if self.responses.len() >= MAX_RESPONSES {
            return Err(Refusal::new("rate_limit_exceeded", "Too many responses in progress.", None));
        }
        for input in request["input"].as_array().into_iter().flatten() {
            let id = input["id"].as_str().unwrap_or_default();
            if input["type"] == "item_reference" && self.conversation.get(id).is_none() {
                return Err(not_found("response.input", id));
            }
        }
        let own = |name: &str| request.get(name).filter(|v| !v.is_null());
        let modalities = own("output_modalities").unwrap_or(&self.settings.value()["output_modalities"]);
        let (modalities, number) = (modalities.clone(), self.next_response);
        let voice = &request["audio"]["output"]["voice"];
        let voice = if voice.is_null() { &self.settings.value()["audio"]["output"]["voice"] } else { voice };
        let mut response = Response {
            id: String::new(),
            in_conversation,
            parts: Vec::new(),
            turn: None,
            output: Vec::new(),
            open: None,
            so_far: String::new(),
            muted: false,
            voice: voice.clone(),
            metadata: request["metadata"].clone(),
            modalities,
        };
        response.id = self.ids.of("resp");
        let as_text = response.modalities == json!(["text"]);
        (response.parts, response.turn) = self.choose(cause, in_conversation, as_text);
        self.next_response += 1;
        if self.setup.faults.unknown {
            self.send(
                "response.x_unknown.event",
                json!({"response_id": response.id, "list": [{"deep": {}}]}),
            );
        }
        let value = self.response_value(&response, "in_progress", Value::Null, Value::Null);
        self.send("response.created", json!({"response": value}));
        self.send_rate_limits(RateLimits::Start);
        let delay = self.setup.timing.first_audio.draw(self.ids.draw());
        let id = response.id.clone();
        match self.setup.faults.fail_response.clone() {
            Some((failing, code)) if failing == number as usize => {
                self.schedule(now + delay, Step::Fail { response: id, code });
            }
            _ => self.plan_steps(&response, now + delay),
        }
        self.responses.push(response);
        Ok(())
    }

    fn plan_steps(&mut self, response: &Response, mut at: Duration) {
        let speed = self.setup.timing.generation_speed.max(1.0);
        for (part, value) in response.parts.iter().enumerate() {
            let id = || response.id.clone();
            self.schedule(at, Step::Begin { response: id(), part });
            let (deltas, step) = match value {
                Part::Speech { spoken, .. } => {
                    let words: Vec<String> = spoken.text.split_inclusive(' ').map(str::to_owned).collect();
                    let whole = Duration::from_millis(spoken.sound.duration_ms().into()).div_f64(speed);
                    let step = whole / words.len().max(1) as u32;
                    if self.setup.transport == Transport::WebSocket {
                        self.plan_sound(&response.id, part, &spoken.sound, at);
                    }
                    (words, step)
                }
                Part::Text { text, .. } => (text.split_inclusive(' ').map(str::to_owned).collect(), DELTA),
                Part::Call { arguments, .. } | Part::Hosted { arguments, .. } => {
                    let chars: Vec<char> = arguments.chars().collect();
                    (chars.chunks(ARGUMENT_CHARS).map(|c| c.iter().collect()).collect(), DELTA)
                }
            };
            for delta in deltas {
                at += step;
                self.schedule(at, Step::Delta { response: id(), part, delta });
            }
            if let Part::Hosted { .. } = value {
                self.schedule(at, Step::Hosted { response: id(), part });
                at += HOSTED;
            }
            self.schedule(at, Step::End { response: id(), part });
        }
        self.schedule(at, Step::Finish { response: response.id.clone() });
    }

    /// What is said next, and the turn of the script that it takes.
    fn choose(&mut self, cause: Cause, in_conversation: bool, as_text: bool) -> (Vec<Part>, Option<usize>) {
        let plan = self.setup.plan.clone();
        let say = |session: &mut Self, mut spoken: Spoken, output: &str| {
            let item_id = session.ids.of("item");
            spoken.text = spoken.text.replace("{output}", output);
            if as_text { Part::Text { item_id, text: spoken.text } } else { Part::Speech { item_id, spoken } }
        };
        if !in_conversation {
            return (vec![say(self, plan.aside.clone(), "")], None);
        }
        let output = self.tool_output.take();
        let unanswered = std::mem::take(&mut self.unanswered);
        let greeted = std::mem::replace(&mut self.greeted, true);
        if cause == Cause::Idle {
            return (vec![say(self, plan.idle.clone(), "")], None);
        }
        let answer = self.last_words.take().and_then(|turn| plan.turns[turn].answer.clone());
        if let (Cause::Client, Some(output)) = (cause, output) {
            let line = answer.unwrap_or_else(|| plan.aside.clone());
            return (vec![say(self, line, &output)], None);
        }
        if cause == Cause::Client && !greeted && !unanswered {
            return (vec![say(self, plan.greeting.clone(), "")], None);
        }
        if cause == Cause::Client && !unanswered {
            return (vec![say(self, plan.aside.clone(), "")], None);
        }
        let Some(turn) = plan.turns.get(self.next_turn) else {
            return (vec![say(self, plan.aside.clone(), "")], None);
        };
        let mut parts: Vec<Part> = turn.reply.clone().map(|line| say(self, line, "")).into_iter().collect();
        for tool in &turn.tools {
            let arguments = tool.arguments.to_string();
            if let Some(label) = self.settings.hosts(&tool.name) {
                let (item_id, name) = (self.ids.of("mcp"), tool.name.clone());
                parts.push(Part::Hosted { item_id, label, name, arguments });
                self.last_words = Some(self.next_turn);
            } else if self.settings.has_tool(&tool.name) {
                let (item_id, call_id) = (self.ids.of("item"), self.ids.of("call"));
                parts.push(Part::Call { item_id, call_id, name: tool.name.clone(), arguments });
                self.last_words = Some(self.next_turn);
            } else {
                self.remark(format!("the session has no tool {:?}: the script's call is skipped", tool.name));
            }
        }
        if !turn.tools.is_empty() && self.last_words.is_none() {
            parts.extend(turn.answer.clone().map(|line| say(self, line, "")));
        }
        if parts.is_empty() {
            parts.push(say(self, plan.aside.clone(), ""));
        }
        self.next_turn += 1;
        (parts, Some(self.next_turn - 1))
    }

    pub(super) fn cancel_by_client(&mut self, id: Option<&str>, now: Duration) -> Result<(), Refusal> {
        let mut active = self.responses.iter();
        let found = active.find(|r| id.map_or(r.in_conversation, |id| r.id == id)).map(|r| r.id.clone());
        let message = "Cancellation failed: no active response found";
        let id = found.ok_or_else(|| Refusal::new("response_cancel_not_active", message, None))?;
        self.cancel(&id, "client_cancelled", now);
        Ok(())
    }

    /// Stops generation. What is buffered is played on, unless the output is cut as well.
    pub(super) fn cancel(&mut self, id: &str, reason: &str, now: Duration) {
        self.agenda.retain(|_, step| step.response() != Some(id));
        self.output.stop_generating(id, now);
        let response = self.responses.iter_mut().find(|r| r.id == id);
        if let Some((response, part)) = response.and_then(|r| r.open.map(|open| (r, open))) {
            if self.setup.unverified.cancel_closes_item {
                self.end(id, part, "incomplete");
            } else {
                response.open = None;
            }
        }
        self.finish(id, "cancelled", json!({"type": "cancelled", "reason": reason}), now);
    }

    pub(super) fn finish(&mut self, id: &str, status: &str, details: Value, now: Duration) {
        let Some(index) = self.responses.iter().position(|r| r.id == id) else { return };
        let response = self.responses.remove(index);
        self.last_sign = now;
        let usage = self.usage(&response);
        self.send_rate_limits(RateLimits::BeforeDone);
        let value = self.response_value(&response, status, details, usage);
        self.send("response.done", json!({"response": value}));
        self.send_rate_limits(RateLimits::AfterDone);
        let hosted = matches!(response.parts.last(), Some(Part::Hosted { .. })) && status == "completed";
        if hosted && self.setup.unverified.hosted_continues {
            let made = self.create_response(&json!({}), Cause::Client, now);
            debug_assert!(made.is_ok(), "the only response is over");
        }
    }

    fn response_value(&self, response: &Response, status: &str, details: Value, usage: Value) -> Value {
        let conversation = response.in_conversation.then_some(&self.conversation_id);
        json!({"object": "realtime.response", "id": response.id, "status": status, "status_details": details,
               "output": response.output, "conversation_id": conversation,
               "output_modalities": response.modalities,
               "max_output_tokens": self.settings.value()["max_output_tokens"],
               "audio": {"output": {"format": self.settings.value()["audio"]["output"]["format"],
                                    "voice": response.voice}},
               "usage": usage, "metadata": response.metadata})
    }

    /// Tokens by the documented rules of thumb: user audio 1 per 100 ms, assistant audio 1 per 50 ms, text 1 per 4 characters.
    fn usage(&mut self, response: &Response) -> Value {
        let instructions = self.settings.value()["instructions"].as_str().map_or(0, str::len) as u64 / 4;
        let texts: usize = self.conversation.iter().map(|item| item.value["content"].to_string().len()).sum();
        let (text_in, audio_in) = (instructions + texts as u64 / 4, self.heard_ms_total / 100);
        let (mut text_out, mut audio_out) = (0, 0);
        for (item, part) in response.output.iter().zip(&response.parts) {
            text_out += item.to_string().len() as u64 / 8;
            if let Part::Speech { spoken, .. } = part {
                audio_out += u64::from(spoken.sound.duration_ms()) / 50;
            }
        }
        let cached = text_in / 2;
        json!({"total_tokens": text_in + audio_in + text_out + audio_out,
               "input_tokens": text_in + audio_in, "output_tokens": text_out + audio_out,
               "input_token_details": {"text_tokens": text_in, "audio_tokens": audio_in, "image_tokens": 0,
                   "cached_tokens": cached,
                   "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0}},
               "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out}})
    }
}
