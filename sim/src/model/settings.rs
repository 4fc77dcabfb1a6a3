//! The session object: what may be asked for, and what is in force.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::schema::{Field, Shape, may, must, or_null};
use super::unverified::Unverified;
use super::vad::VadSettings;

const FORMAT: Shape = Shape::Tagged(
    "type",
    &[("audio/pcm", &[may("rate", Shape::Whole(24_000, 24_000))]), ("audio/pcmu", &[]), ("audio/pcma", &[])],
);

const TURN_DETECTION: Shape = Shape::Tagged(
    "type",
    &[
        (
            "server_vad",
            &[
                may("threshold", Shape::Real(0.0, 1.0)),
                may("prefix_padding_ms", Shape::Whole(0, 60_000)),
                may("silence_duration_ms", Shape::Whole(0, 60_000)),
                may("create_response", Shape::Flag),
                may("interrupt_response", Shape::Flag),
                may("idle_timeout_ms", or_null!(Shape::Whole(5_000, 30_000))),
            ],
        ),
        (
            "semantic_vad",
            &[
                may("eagerness", Shape::Word(&["low", "medium", "high", "auto"])),
                may("create_response", Shape::Flag),
                may("interrupt_response", Shape::Flag),
            ],
        ),
    ],
);

const TRANSCRIPTION: Shape = Shape::Object(&[
    must("model", Shape::Text),
    may("language", or_null!(Shape::Text)),
    may("languages", or_null!(Shape::List(&Shape::Text))),
    may("keywords", or_null!(Shape::List(&Shape::Text))),
    may("prompt", or_null!(Shape::Text)),
    may("delay", or_null!(Shape::Word(&["minimal", "low", "medium", "high", "xhigh"]))),
]);

const NOISE_REDUCTION: Shape = Shape::Object(&[
    must("type", Shape::Word(&["near_field", "far_field"])),
    may("strength", Shape::Real(0.0, 1.0)),
]);

const VOICES: &[&str] =
    &["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];

const VOICE: Shape = Shape::Either(&[Shape::Word(VOICES), Shape::Object(&[must("id", Shape::Text)])]);

pub(crate) const TOOLS: Shape = Shape::List(&Shape::Tagged(
    "type",
    &[
        (
            "function",
            &[
                must("name", Shape::ShortText(64)),
                may("description", Shape::Text),
                may("parameters", Shape::Free),
            ],
        ),
        (
            "mcp",
            &[
                must("server_label", Shape::Text),
                may("server_url", Shape::Text),
                may("connector_id", Shape::Text),
                may("tunnel_id", Shape::Text),
                may("authorization", Shape::Text),
                may("headers", or_null!(Shape::Free)),
                may("allowed_tools", or_null!(Shape::List(&Shape::Text), Shape::Free)),
                may("require_approval", or_null!(Shape::Text, Shape::Free)),
                may("server_description", Shape::Text),
                may("defer_loading", Shape::Flag),
                may("allowed_callers", Shape::Any),
            ],
        ),
    ],
));

pub(crate) const TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["auto", "none", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[must("name", Shape::Text)]),
            ("mcp", &[must("server_label", Shape::Text), may("name", or_null!(Shape::Text))]),
        ],
    ),
]);

pub(crate) const MODALITIES: Shape = Shape::List(&Shape::Word(&["audio", "text"]));
pub(crate) const MAX_TOKENS: Shape = Shape::Either(&[Shape::Whole(1, 4096), Shape::Word(&["inf"])]);
pub(crate) const REASONING: Shape = or_null!(Shape::Object(&[may(
    "effort",
    or_null!(Shape::Word(&["minimal", "low", "medium", "high", "xhigh"]))
)]));
pub(crate) const OUTPUT_AUDIO: Shape = Shape::Object(&[may(
    "output",
    Shape::Object(&[may("format", FORMAT), may("voice", VOICE), may("speed", Shape::Real(0.25, 1.5))]),
)]);

const FIELDS: &[Field] = &[
    must("type", Shape::Word(&["realtime"])),
    may("model", Shape::Text),
    may("output_modalities", MODALITIES),
    may("instructions", Shape::Text),
    may(
        "audio",
        Shape::Object(&[
            may(
                "input",
                Shape::Object(&[
                    may("format", FORMAT),
                    may("noise_reduction", or_null!(NOISE_REDUCTION)),
                    may("transcription", or_null!(TRANSCRIPTION)),
                    may("turn_detection", or_null!(TURN_DETECTION)),
                ]),
            ),
            may(
                "output",
                Shape::Object(&[
                    may("format", FORMAT),
                    may("voice", VOICE),
                    may("speed", Shape::Real(0.25, 1.5)),
                ]),
            ),
        ]),
    ),
    may("tools", TOOLS),
    may("tool_choice", TOOL_CHOICE),
    may("parallel_tool_calls", or_null!(Shape::Flag)),
    may("reasoning", REASONING),
    may("max_output_tokens", MAX_TOKENS),
    may(
        "truncation",
        Shape::Either(&[
            Shape::Word(&["auto", "disabled"]),
            Shape::Tagged(
                "type",
                &[(
                    "retention_ratio",
                    &[
                        must("retention_ratio", Shape::Real(0.0, 1.0)),
                        may("token_limits", or_null!(Shape::Free)),
                    ],
                )],
            ),
        ]),
    ),
    may("tracing", or_null!(Shape::Word(&["auto"]), Shape::Free)),
    may("include", or_null!(Shape::List(&Shape::Word(&["item.input_audio_transcription.logprobs"])))),
    may("prompt", or_null!(Shape::Free)),
];

const SESSION: Shape = Shape::Object(FIELDS);

/// The session in force, in the form that `session.created` shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    value: Value,
    /// Asked for at every packet, so not looked up in `value` each time.
    idle_timeout_ms: Option<u64>,
    default_silence_ms: u32,
}

impl Settings {
    /// What the `session` part of a request asks for, or a refusal in the service's words.
    pub(crate) fn new(request: &Value, unverified: &Unverified) -> Result<Self, Refusal> {
        SESSION.check("session", request)?;
        if request.get("model").is_none() {
            return Err(Refusal::missing("session.model"));
        }
        let default_silence_ms = unverified.silence_duration_ms;
        let value = json!({
            "type": "realtime", "object": "realtime.session", "id": "", "model": "",
            "output_modalities": ["audio"],
            "instructions": "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI.",
            "tools": [], "tool_choice": "auto", "max_output_tokens": "inf", "tracing": null, "prompt": null,
            "expires_at": 0,
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": null,
                          "noise_reduction": null,
                          "turn_detection": turn_detection(&json!({"type": "server_vad"}), default_silence_ms)},
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1}},
            "include": null,
        });
        let mut settings = Self { value, idle_timeout_ms: None, default_silence_ms };
        settings.merge(request);
        Ok(settings)
    }

    /// Applies a `session.update`. Nothing changes if any part of it is refused.
    pub(crate) fn update(&mut self, request: &Value, voice_is_locked: bool) -> Result<(), Refusal> {
        SESSION.check("session", request)?;
        if request.get("model").is_some_and(|model| *model != self.value["model"]) {
            let message = "The model of a session cannot be changed.";
            return Err(Refusal::new("invalid_value", message, Some("session.model")));
        }
        let voice = &request["audio"]["output"]["voice"];
        if voice_is_locked && !voice.is_null() && *voice != self.value["audio"]["output"]["voice"] {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            return Err(Refusal::new("cannot_update_voice", message, None));
        }
        self.merge(request);
        Ok(())
    }

    fn merge(&mut self, request: &Value) {
        for (name, value) in request.as_object().into_iter().flatten() {
            if name != "audio" {
                self.value[name] = value.clone();
                continue;
            }
            for side in ["input", "output"] {
                for (name, value) in value[side].as_object().into_iter().flatten() {
                    self.value["audio"][side][name] = match name.as_str() {
                        "turn_detection" if value.is_object() => {
                            turn_detection(value, self.default_silence_ms)
                        }
                        _ => value.clone(),
                    };
                }
            }
        }
        self.idle_timeout_ms = self.value["audio"]["input"]["turn_detection"]["idle_timeout_ms"].as_u64();
    }

    /// Gives the session its name and its end in Unix seconds.
    pub(crate) fn identify(&mut self, id: &str, expires_at: u64) {
        self.value["id"] = id.into();
        self.value["expires_at"] = expires_at.into();
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// How turns are found; `None` is push to talk.
    pub(crate) fn vad(&self) -> Option<VadSettings> {
        let detection = &self.value["audio"]["input"]["turn_detection"];
        if detection["type"] == "semantic_vad" {
            // The real one judges the words; here eagerness is only how long a pause may be.
            let silence_duration_ms = match detection["eagerness"].as_str() {
                Some("low") => 1_200,
                Some("high") => 400,
                _ => 800,
            };
            return Some(VadSettings { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms });
        }
        Some(VadSettings {
            threshold: detection["threshold"].as_f64()?,
            prefix_padding_ms: detection["prefix_padding_ms"].as_u64()?,
            silence_duration_ms: detection["silence_duration_ms"].as_u64()?,
        })
    }

    pub(crate) fn creates_response(&self) -> bool {
        self.value["audio"]["input"]["turn_detection"]["create_response"].as_bool().unwrap_or(false)
    }

    pub(crate) fn interrupts_response(&self) -> bool {
        self.value["audio"]["input"]["turn_detection"]["interrupt_response"].as_bool().unwrap_or(false)
    }

    pub(crate) fn idle_timeout_ms(&self) -> Option<u64> {
        self.idle_timeout_ms
    }

    pub(crate) fn transcribes(&self) -> bool {
        self.value["audio"]["input"]["transcription"].is_object()
    }

    /// The label of the MCP server that the session lets the model call this tool of.
    pub(crate) fn hosts(&self, name: &str) -> Option<String> {
        let tools = self.value["tools"].as_array();
        let allows = |tool: &&Value| {
            let allowed = tool["allowed_tools"].as_array();
            tool["type"] == "mcp" && allowed.into_iter().flatten().any(|allowed| allowed == name)
        };
        let server = tools.into_iter().flatten().find(allows)?;
        server["server_label"].as_str().map(str::to_owned)
    }

    /// Whether the session has a function of this name.
    pub(crate) fn has_tool(&self, name: &str) -> bool {
        let tools = self.value["tools"].as_array();
        tools.into_iter().flatten().any(|tool| tool["type"] == "function" && tool["name"] == name)
    }
}

/// A turn detection with its defaults filled in.
fn turn_detection(request: &Value, silence_ms: u32) -> Value {
    let defaults = if request["type"] == "semantic_vad" {
        json!({"eagerness": "auto", "create_response": true, "interrupt_response": true})
    } else {
        json!({"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": silence_ms,
               "idle_timeout_ms": null, "create_response": true, "interrupt_response": true})
    };
    let mut whole: Map<String, Value> = defaults.as_object().cloned().unwrap_or_default();
    whole.extend(request.as_object().cloned().unwrap_or_default());
    Value::Object(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(request: Value) -> Settings {
        Settings::new(&request, &Unverified::default()).expect("a good session")
    }

    #[test]
    fn a_short_request_gets_the_documented_defaults() {
        let settings = settings(json!({"type": "realtime", "model": "gpt-realtime-2.1"}));
        let vad = settings.vad().expect("server VAD is the default");
        assert_eq!((vad.threshold, vad.prefix_padding_ms, vad.silence_duration_ms), (0.5, 300, 200));
        assert!(settings.creates_response() && settings.interrupts_response() && !settings.transcribes());
        assert_eq!(settings.value()["audio"]["output"]["voice"], "alloy");
    }

    #[test]
    fn the_suggested_session_of_a_bridge_is_taken_whole() {
        let settings = settings(json!({
            "type": "realtime", "model": "gpt-realtime-2.1", "output_modalities": ["audio"], "instructions": "Hi",
            "reasoning": {"effort": "low"},
            "audio": {"input": {"noise_reduction": null, "transcription": {"model": "gpt-realtime-whisper"},
                "turn_detection": {"type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 300,
                    "silence_duration_ms": 500, "create_response": true, "interrupt_response": true,
                    "idle_timeout_ms": null}},
                "output": {"voice": "marin"}},
            "tools": [{"type": "function", "name": "lookup", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": "auto", "truncation": {"type": "retention_ratio", "retention_ratio": 0.8}}));
        assert_eq!(settings.vad().map(|v| v.silence_duration_ms), Some(500));
        assert!(settings.transcribes() && settings.has_tool("lookup") && !settings.has_tool("x"));
        assert_eq!(settings.value()["audio"]["output"]["speed"], 1);
    }

    #[test]
    fn beta_names_and_bad_values_are_refused_by_name() {
        let refuse = |request: Value| {
            let refusal = Settings::new(&request, &Unverified::default()).expect_err("refused");
            (refusal.code.unwrap_or_default(), refusal.param.unwrap_or_default())
        };
        let with = |name: &str, value: Value| {
            let mut request = json!({"type": "realtime", "model": "m"});
            request[name] = value;
            request
        };
        let named = |code: &str, param: &str| (code.to_owned(), param.to_owned());
        assert_eq!(
            refuse(with("temperature", json!(0.8))),
            named("unknown_parameter", "session.temperature")
        );
        assert_eq!(refuse(json!({"type": "realtime"})), named("missing_required_parameter", "session.model"));
        assert_eq!(
            refuse(with("audio", json!({"output": {"voice": "nova"}}))),
            named("invalid_value", "session.audio.output.voice")
        );
        assert_eq!(
            refuse(with("tools", json!([{"type": "function", "function": {"name": "x"}}]))),
            named("unknown_parameter", "session.tools[0].function")
        );
    }

    #[test]
    fn an_update_changes_only_what_it_names_and_is_refused_whole() {
        let mut settings = settings(json!({"type": "realtime", "model": "m", "instructions": "old"}));
        settings
            .update(&json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}}), false)
            .expect("good");
        assert_eq!(settings.vad(), None);
        assert_eq!(settings.value()["instructions"], "old");
        let update =
            json!({"type": "realtime", "instructions": "new", "audio": {"output": {"voice": "marin"}}});
        let refusal = settings.update(&update, true).expect_err("the voice is locked");
        assert_eq!(refusal.code.as_deref(), Some("cannot_update_voice"));
        assert_eq!(settings.value()["instructions"], "old");
        settings.update(&update, false).expect("good before any audio");
        assert_eq!(settings.value()["audio"]["output"]["voice"], "marin");
        assert!(settings.update(&json!({"type": "realtime", "model": "other"}), false).is_err());
        assert!(settings.update(&json!({"instructions": "x"}), false).is_err());
    }
}
