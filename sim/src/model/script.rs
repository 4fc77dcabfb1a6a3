//! What the model hears and says.

use serde::Deserialize;
use serde_json::Value;

use crate::speech;

/// A conversation as the model will hold it. Every line is recorded speech out of [`crate::speech`].
///
/// The default fits a caller who (1) says what is wrong, (2) asks for something and gets a long reply, (3) interrupts it with a name of a
/// city, (4) thanks and hangs up: `something-wrong`, `last-call`, `lima`, `thank-you`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelScript {
    /// What the first `response.create` of a session gets, if the caller has not spoken before.
    pub greeting: Line,
    /// What the caller's turns get, in order.
    pub turns: Vec<Turn>,
    /// What turns beyond the last get, and every `response.create` that follows neither a turn, a text nor a tool's result.
    #[serde(default = "aside")]
    pub aside: Line,
    /// What `idle_timeout_ms` makes the model say.
    #[serde(default = "idle")]
    pub idle: Line,
}

/// One turn of the caller and what the model does about it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Turn {
    /// The caller's words, for the input transcription. The model does not recognise speech: without this it makes up a text.
    pub heard: Option<String>,
    /// What is said at once. May be empty if there is a tool call.
    pub reply: Option<Line>,
    /// A function the model calls in the same response, after the reply. Skipped if the session has no such tool.
    pub tool: Option<ToolCall>,
    /// Further functions called in the same response.
    pub also: Vec<ToolCall>,
    /// What the response after `function_call_output` says.
    pub answer: Option<Line>,
}

/// A function call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The tool's name, as in the session's `tools`.
    pub name: String,
    /// The arguments, an object as a rule.
    pub arguments: Value,
}

/// Something said: recordings played one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Clips by name; the transcript is what is said in them.
    Clips(Vec<String>),
    /// Clips with a transcript of their own, in which `{output}` stands for the last tool's result.
    Worded {
        /// Clips by name.
        clips: Vec<String>,
        /// The transcript.
        text: String,
    },
}

impl Line {
    /// A line of these clips.
    pub fn of<const N: usize>(clips: [&str; N]) -> Self {
        Self::Clips(clips.map(str::to_owned).to_vec())
    }

    /// The clips' names.
    pub fn clips(&self) -> &[String] {
        match self {
            Self::Clips(clips) | Self::Worded { clips, .. } => clips,
        }
    }

    /// The transcript, `{output}` not yet replaced.
    pub fn text(&self) -> String {
        match self {
            Self::Worded { text, .. } => text.clone(),
            Self::Clips(clips) => {
                let said: Vec<_> = clips.iter().filter_map(|c| speech::clip(c)).map(|c| c.text).collect();
                said.join(" ")
            }
        }
    }
}

fn aside() -> Line {
    Line::of(["not-understood"])
}

fn idle() -> Line {
    Line::of(["im-sorry", "not-understood"])
}

impl Default for ModelScript {
    fn default() -> Self {
        let turn = |heard: &str, reply: Line| Turn {
            heard: Some(heard.to_owned()),
            reply: Some(reply),
            ..Turn::default()
        };
        Self {
            greeting: Line::of(["thank-you-for-calling"]),
            turns: vec![
                turn("Something is terribly wrong!", Line::of(["sorry-problems", "one-moment"])),
                turn(
                    "Information about your last call.",
                    Line::of(["all-busy", "please-hold", "message-saved"]),
                ),
                Turn {
                    heard: Some("Lima.".to_owned()),
                    reply: Some(Line::of(["one-moment"])),
                    tool: Some(ToolCall {
                        name: "lookup".to_owned(),
                        arguments: serde_json::json!({"city": "Lima"}),
                    }),
                    answer: Some(Line::of(["hold-time", "less-than", "two", "minutes"])),
                    ..Turn::default()
                },
                turn("Thank you.", Line::of(["goodbye"])),
            ],
            aside: aside(),
            idle: idle(),
        }
    }
}

/// Why a script cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Not JSON, or not of the form that [`ModelScript::from_json`] documents.
    #[error("the script is not valid: {0}")]
    Form(#[from] serde_json::Error),
    /// A line names a clip that does not exist.
    #[error("there is no clip {0:?}; the clips are: {1}")]
    Clip(String, String),
    /// A turn has neither reply nor tool call.
    #[error("turn {0} has neither a reply nor a tool call")]
    Empty(usize),
}

impl ModelScript {
    /// Reads the text form, which is JSON:
    ///
    /// ```json
    /// { "greeting": ["thank-you-for-calling"],
    ///   "turns": [
    ///     { "heard": "Something is terribly wrong!", "reply": ["sorry-problems"] },
    ///     { "heard": "Lima.", "reply": ["one-moment"],
    ///       "tool": { "name": "lookup", "arguments": { "city": "Lima" } },
    ///       "answer": { "clips": ["hold-time", "less-than", "two", "minutes"], "text": "The desk says: {output}" } } ],
    ///   "aside": ["not-understood"],
    ///   "idle": ["im-sorry"] }
    /// ```
    ///
    /// `aside` and `idle` may be left out, and every field of a turn, as long as it has a reply or a tool. Unknown fields are errors.
    pub fn from_json(text: &str) -> Result<Self, ScriptError> {
        let script: Self = serde_json::from_str(text)?;
        script.check()?;
        Ok(script)
    }

    /// Every line, for checking and for encoding ahead.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        let turns = self.turns.iter().flat_map(|t| t.reply.iter().chain(t.answer.iter()));
        [&self.greeting, &self.aside, &self.idle].into_iter().chain(turns)
    }

    /// Refuses clips that do not exist and turns that do nothing.
    pub fn check(&self) -> Result<(), ScriptError> {
        for name in self.lines().flat_map(Line::clips) {
            if speech::clip(name).is_none() {
                let names: Vec<_> = speech::CLIPS.iter().map(|c| c.name).collect();
                return Err(ScriptError::Clip(name.clone(), names.join(", ")));
            }
        }
        match self.turns.iter().position(|t| t.reply.is_none() && t.tool.is_none()) {
            Some(index) => Err(ScriptError::Empty(index)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_script_can_be_played() {
        ModelScript::default().check().expect("every clip exists");
        assert_eq!(ModelScript::default().greeting.text().split(' ').next(), Some("Thank"));
    }

    #[test]
    fn the_text_form_is_read_and_mistakes_are_named() {
        let text = r#"{"greeting":["hello"],"turns":[{"tool":{"name":"lookup","arguments":{}},
            "answer":{"clips":["goodbye"],"text":"It is {output}."}}]}"#;
        let script = ModelScript::from_json(text).expect("a valid script");
        assert_eq!(script.turns[0].answer.as_ref().map(Line::text).as_deref(), Some("It is {output}."));
        let error = ModelScript::from_json(&text.replace("goodbye", "good-buy")).expect_err("no such clip");
        assert!(error.to_string().contains("good-buy"), "{error}");
        assert!(ModelScript::from_json(&text.replace("turns", "turn")).is_err());
        let empty = r#"{"greeting":["hello"],"turns":[{"heard":"Hello."}]}"#;
        assert!(matches!(ModelScript::from_json(empty), Err(ScriptError::Empty(0))));
    }
}
