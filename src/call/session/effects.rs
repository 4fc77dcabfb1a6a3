//! What tools have done, and what they want of the call itself.

use std::time::{Duration, Instant};

use super::farewell::Goal;
use super::{Action, Effect, Session, exactly};
use crate::call::{CallEnd, CallEvent};
use crate::openai::wire::ClientEvent;

const GOODBYE: &str = "Say a short, friendly goodbye to the caller.";
const PUTTING_THROUGH: &str = "Tell the caller in one short sentence that you are putting them through now.";

impl Session {
    pub(super) fn tool_done(
        &mut self,
        now: Instant,
        call_id: &str,
        name: String,
        output: String,
        ok: bool,
        took: Duration,
    ) {
        let at_ms = self.ms(now);
        let here = self.tools.done(self.renewal.count(), call_id, &output, at_ms);
        let (id, took_ms) = (call_id.to_owned(), took.as_millis() as u64);
        self.tell(CallEvent::ToolEnded {
            call_id: id.clone(),
            name: name.clone(),
            ok,
            output: output.clone(),
            took_ms,
        });
        // A session that is gone took the question with it. The next one is told the answer with all the rest.
        if self.renewal.is_lost() {
            self.cut_short = true;
            return;
        }
        match here {
            Some(true) => self.send(ClientEvent::FunctionOutput { call_id: id, output }),
            Some(false) => {
                self.send(ClientEvent::SystemText { text: format!("The tool {name} has answered: {output}") })
            }
            None => return,
        }
        self.replies.want_turn(None);
    }

    pub(super) fn perform(&mut self, now: Instant, effect: Effect) {
        let at_ms = self.ms(now);
        match effect {
            Effect::EndCall { farewell } => {
                match farewell {
                    Some(words) => self.say_unless_said(&exactly(&words)),
                    None => self.say_unless_said(GOODBYE),
                }
                self.leave_with(now, Goal::End(CallEnd::AgentHungUp));
            }
            Effect::Transfer(onward) => {
                self.say_unless_said(PUTTING_THROUGH);
                self.leave_with(now, Goal::Onward(onward));
            }
            Effect::SendMessage { to, body } => self.actions.push_back(Action::Message { to, body }),
            Effect::PressKeys(keys) => self.actions.push_back(Action::PressKeys(keys)),
            Effect::TakeNote(text) => self.tell(CallEvent::Note { at_ms, text }),
        }
    }

    /// The model often says it in the same breath as it calls the tool; then nothing more is to be said.
    fn say_unless_said(&mut self, instructions: &str) {
        if self.spoke && self.replies.making().is_some() {
            self.replies.forget_turn();
        } else {
            self.replies.want_turn(Some(instructions.into()));
        }
    }
}
