//! From an agent's table to an agent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use time::UtcOffset;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::super::faults::{ConfigError, Faults, value_error};
use super::super::{raw, tool, variables};
use super::{Agent, Key, Recording, transfer_target};
use crate::clip;

const OFFSET: &[BorrowedFormatItem<'_>] = format_description!("[offset_hour sign:mandatory]:[offset_minute]");

const DEFAULT_MODEL: &str = "gpt-realtime-2.1";
const DEFAULT_VOICE: &str = "marin";
const DEFAULT_TRANSCRIPTION: &str = "gpt-realtime-whisper";
/// Silence before ARIA asks whether the caller is still there, seconds.
const DEFAULT_IDLE_SECONDS: u64 = 15;
/// Longest text of an agent, bytes: OpenAI's instructions and ours have to fit one event with the tools.
const MAX_TEXT_BYTES: usize = 32 * 1024;
/// Most sessions that are kept ready for one agent.
const MAX_STANDBY: u8 = 50;

/// The agent of a table. `environment` is where its tools' secrets come from, `denied` are prefixes of numbers that no tool may reach.
pub fn resolve(
    name: String,
    typed: raw::Agent,
    environment: &BTreeMap<String, String>,
    denied: &[String],
) -> Result<Agent, ConfigError> {
    let mut faults = Faults::default();
    let field = |part: &str| format!("agents.{name}.{part}");
    for (part, text) in [
        ("instructions", &typed.instructions),
        ("greeting", &typed.greeting),
        ("greeting_text", &typed.greeting_text),
        ("voicemail", &typed.voicemail),
    ] {
        let Some(text) = text else { continue };
        faults.unless(text.len() <= MAX_TEXT_BYTES, || {
            value_error(
                field(part),
                format!("{} bytes", text.len()),
                format!("at most {MAX_TEXT_BYTES} bytes"),
            )
        });
        if let Some((name, meant)) = variables::unknown(text, &typed.variables) {
            let known = variables::KNOWN.join(", ");
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {{{{{meant}}}}}?"));
            let allowed = format!("one of the variables {known}, or one that `variables` lists{meant}");
            faults.note(value_error(field(part), format!("{{{{{name}}}}}"), allowed));
        }
    }
    let utc_offset = match &typed.utc_offset {
        None => Some(UtcOffset::UTC),
        Some(text) => {
            let wrong = |_| value_error(field("utc_offset"), text, "an offset such as +02:00");
            faults.ok(UtcOffset::parse(text, OFFSET).map_err(wrong))
        }
    };
    faults.unless(typed.greeting_audio.is_some() == typed.greeting_text.is_some(), || {
        let allowed = "together with the other one: the model is told what the recording says";
        value_error(field("greeting_audio / greeting_text"), "", allowed)
    });
    let recording = |part: &str, path: Option<PathBuf>, text: Option<String>| match path {
        None => Ok(None),
        Some(path) => match clip::load(&path) {
            Ok(sound) => Ok(Some(Recording { path, sound, text: text.unwrap_or_default() })),
            Err(error) => Err(value_error(field(part), path.display().to_string(), error.to_string())),
        },
    };
    let recorded_greeting = faults.ok(recording("greeting_audio", typed.greeting_audio, typed.greeting_text));
    let wait = faults.ok(recording("wait_audio", typed.wait_audio, None));
    faults.unless(typed.max_call_seconds != Some(0), || {
        value_error(field("max_call_seconds"), "0", "at least 1")
    });
    faults.unless(typed.standby <= MAX_STANDBY, || {
        value_error(field("standby"), typed.standby.to_string(), format!("0 to {MAX_STANDBY}"))
    });
    let mut keys = Vec::new();
    for (key, typed) in typed.keys {
        keys.extend(faults.ok(resolve_key(&field("keys"), &key, typed)));
    }
    let tools = faults.ok(tool::resolve(&name, typed.tools, environment, denied));
    // Of tools that are wrong nobody knows the targets.
    for (key, action) in tools.iter().flat_map(|_| &keys) {
        if let Key::Transfer(target) = action
            && transfer_target(tools.as_deref().unwrap_or_default(), target).is_none()
        {
            let allowed = "a target of this agent's transfer_call tool";
            faults.note(value_error(field(&format!("keys.{key}.transfer")), target, allowed));
        }
    }
    let whole = || {
        Some(Agent {
            model: typed.model.unwrap_or_else(|| DEFAULT_MODEL.into()),
            voice: typed.voice.unwrap_or_else(|| DEFAULT_VOICE.into()),
            instructions: typed.instructions.unwrap_or_default(),
            greeting: typed.greeting,
            codec: typed.codec,
            turn_detection: typed.turn_detection,
            noise_reduction: typed.noise_reduction,
            transcription: match typed.transcription.as_deref() {
                Some("none") => None,
                Some(model) => Some(model.to_owned()),
                None => Some(DEFAULT_TRANSCRIPTION.to_owned()),
            },
            language: typed.language,
            reasoning_effort: typed.reasoning_effort,
            transport: typed.transport,
            standby: typed.standby,
            interruption: typed.interruption,
            recorded_greeting: recorded_greeting?,
            wait: wait?,
            idle: match typed.idle_seconds.unwrap_or(DEFAULT_IDLE_SECONDS) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            max_call: typed.max_call_seconds.map(Duration::from_secs),
            voicemail: typed.voicemail,
            record: typed.record,
            keys,
            utc_offset: utc_offset?,
            tools: tools?,
            name,
        })
    };
    let whole = whole();
    faults.outcome(whole)
}

fn resolve_key(table: &str, key: &str, typed: raw::Key) -> Result<(char, Key), ConfigError> {
    let mut characters = key.chars();
    let key = match (characters.next(), characters.next()) {
        (Some(key @ ('0'..='9' | '*' | '#')), None) => key,
        _ => return Err(value_error(table, key, "0 to 9, * or #")),
    };
    let action = match (typed.say, typed.transfer, typed.hang_up) {
        (Some(text), None, false) => Key::Say(text),
        (None, Some(target), false) => Key::Transfer(target),
        (None, None, true) => Key::HangUp,
        _ => {
            return Err(value_error(
                format!("{table}.{key}"),
                "",
                "one of say = \"text\", transfer = \"target\" and hang_up = true",
            ));
        }
    };
    Ok((key, action))
}
