//! What a call may still do: budgets, and whether the caller has agreed. Pure.
//!
//! The model may be talked into anything by a caller or by what a tool answers; what costs is decided here.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::ToolError;

/// Function calls that one call may try, refused ones included: a model in a loop costs tokens.
pub const MAX_ATTEMPTS_PER_CALL: u32 = 400;

/// The rules of one tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Runs in one call.
    pub max_per_call: u32,
    /// Whether the caller must agree first.
    pub confirm: bool,
}

/// What is to be done with a function call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It runs.
    Run,
    /// The model must ask the caller and call again.
    Ask,
}

/// What the model has asked the caller to agree to.
#[derive(Debug)]
struct Asked {
    arguments: Map<String, Value>,
    /// The caller has spoken since.
    answered: bool,
}

/// The state of one call.
#[derive(Debug, Default)]
pub(super) struct Policy {
    attempts: u32,
    runs: HashMap<String, u32>,
    /// At most one question of each tool is open.
    asked: HashMap<String, Asked>,
}

impl Policy {
    /// A function call, whatever it may be.
    pub fn handle_attempt(&mut self) -> Result<(), ToolError> {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts > MAX_ATTEMPTS_PER_CALL { Err(ToolError::Spent) } else { Ok(()) }
    }

    /// A function call that fits its tool. `confirmed` is the model's word that the caller has agreed; it counts only if the caller has
    /// spoken since this very question was to be asked.
    pub fn handle_call(
        &mut self,
        tool: &str,
        rules: Rules,
        arguments: &Map<String, Value>,
        confirmed: bool,
    ) -> Result<Verdict, ToolError> {
        let runs = self.runs.get(tool).copied().unwrap_or(0);
        if runs >= rules.max_per_call {
            return Err(ToolError::Spent);
        }
        if rules.confirm {
            let agreed = confirmed
                && self.asked.get(tool).is_some_and(|asked| asked.answered && asked.arguments == *arguments);
            if !agreed {
                // The same question again does not take back the answer that it may have got.
                let open = self.asked.get(tool).is_some_and(|asked| asked.arguments == *arguments);
                if !open {
                    let asked = Asked { arguments: arguments.clone(), answered: false };
                    self.asked.insert(tool.to_owned(), asked);
                }
                return Ok(Verdict::Ask);
            }
            self.asked.remove(tool);
        }
        self.runs.insert(tool.to_owned(), runs + 1);
        Ok(Verdict::Run)
    }

    /// The caller has said something.
    pub fn handle_caller_spoke(&mut self) {
        for asked in self.asked.values_mut() {
            asked.answered = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ASKS: Rules = Rules { max_per_call: 2, confirm: true };

    fn arguments(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_caller_must_speak_between_question_and_run() {
        let mut policy = Policy::default();
        let pay = arguments(json!({ "amount": 10 }));
        // The model's word alone is nothing, however often it is given.
        for _ in 0..3 {
            assert_eq!(policy.handle_call("pay", ASKS, &pay, true), Ok(Verdict::Ask));
        }
        policy.handle_caller_spoke();
        assert_eq!(policy.handle_call("pay", ASKS, &pay, false), Ok(Verdict::Ask), "not confirmed");
        assert_eq!(policy.handle_call("pay", ASKS, &pay, true), Ok(Verdict::Run));
        assert_eq!(policy.handle_call("pay", ASKS, &pay, true), Ok(Verdict::Ask), "an answer counts once");
    }

    #[test]
    fn what_was_agreed_to_is_what_runs() {
        let mut policy = Policy::default();
        let (ten, thousand) = (arguments(json!({ "amount": 10 })), arguments(json!({ "amount": 1000 })));
        assert_eq!(policy.handle_call("pay", ASKS, &ten, false), Ok(Verdict::Ask));
        policy.handle_caller_spoke();
        assert_eq!(policy.handle_call("pay", ASKS, &thousand, true), Ok(Verdict::Ask));
        assert_eq!(
            policy.handle_call("pay", ASKS, &ten, true),
            Ok(Verdict::Ask),
            "the question was another one"
        );
        policy.handle_caller_spoke();
        assert_eq!(policy.handle_call("book", ASKS, &ten, true), Ok(Verdict::Ask), "another tool");
        assert_eq!(policy.handle_call("pay", ASKS, &ten, true), Ok(Verdict::Run));
    }

    #[test]
    fn budgets_end() {
        let mut policy = Policy::default();
        let rules = Rules { max_per_call: 2, confirm: false };
        for _ in 0..2 {
            assert_eq!(policy.handle_call("a", rules, &Map::new(), false), Ok(Verdict::Run));
        }
        assert_eq!(policy.handle_call("a", rules, &Map::new(), false), Err(ToolError::Spent));
        assert_eq!(policy.handle_call("b", rules, &Map::new(), false), Ok(Verdict::Run));
        for _ in 0..MAX_ATTEMPTS_PER_CALL {
            assert_eq!(policy.handle_attempt(), Ok(()));
        }
        assert_eq!(policy.handle_attempt(), Err(ToolError::Spent));
    }
}
