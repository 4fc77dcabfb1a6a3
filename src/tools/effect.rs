//! What built-in tools do to the call. Here it is only decided; the call's own state machine does it.

use serde_json::{Map, Value, json};

use super::error::ToolError;
use crate::config::{Builtin, E164, KEYS_AT_ONCE};

/// Numbers that carriers give for callers who withhold theirs: letters on a telephone's keys (RESTRICTED, BLOCKED, UNKNOWN, ANONYMOUS,
/// UNAVAILABLE). Source: Twilio, "Why am I getting calls from these strange numbers?".
const WITHHELD: [&str; 5] = ["+7378742833", "+2562533", "+8566696", "+266696687", "+86282452253"];

/// What is to be done with the call. The policy has allowed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// End the call, after `farewell` has been said if there is one.
    EndCall {
        /// What is said before.
        farewell: Option<String>,
    },
    /// Connect the caller with somebody on the allow-list.
    Transfer {
        /// Their number.
        target: E164,
        /// Their name on the list.
        name: String,
        /// What they are told before they are connected. `None`: connect at once.
        warm_summary: Option<String>,
    },
    /// Send a text message.
    SendMessage {
        /// The caller's own number, or one of the allow-list.
        to: E164,
        /// At most 1600 characters.
        body: String,
    },
    /// Press keys: 1 to 32 of `0-9*#wW`.
    PressKeys {
        /// The keys.
        digits: String,
    },
    /// Write something down for the record of the call.
    TakeNote {
        /// At most 4000 characters.
        text: String,
    },
}

/// Who is on the line, and which numbers are never reached.
#[derive(Debug, Clone)]
pub(super) struct Parties {
    /// Who is not on our side. `None` if withheld.
    pub other: Option<E164>,
    /// Our own number.
    pub own: Option<E164>,
    /// Denied prefixes beside those built in.
    pub denied: Vec<String>,
}

impl Parties {
    /// `other` and `own` as Twilio writes them: E.164, `sip:…`, `client:…` or a word for a withheld number.
    pub(super) fn new(other: &str, own: &str, denied: &[String]) -> Self {
        let known = |text: &str| text.parse().ok().filter(|_| !WITHHELD.contains(&text));
        Self { other: known(other), own: own.parse().ok(), denied: denied.to_vec() }
    }

    fn may_reach(&self, number: &E164) -> Result<(), ToolError> {
        if number.is_denied(&self.denied) {
            return Err(ToolError::Denied("this number may not be reached"));
        }
        Ok(())
    }
}

/// Decides what a built-in tool does: its effect and what the model is told. The arguments fit the schema. Everything that costs money
/// is checked here once more, whatever the schema said.
pub(super) fn plan(
    builtin: &Builtin,
    arguments: &Map<String, Value>,
    parties: &Parties,
) -> Result<(Effect, Value), ToolError> {
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let needed = |name: &str| text(name).ok_or(ToolError::Arguments);
    match builtin {
        Builtin::EndCall => {
            let farewell = text("farewell").map(str::to_owned);
            Ok((Effect::EndCall { farewell }, json!({ "status": "the call is being ended" })))
        }
        Builtin::TransferCall { targets, warm } => {
            let name = needed("target")?;
            let target = targets.get(name).ok_or(ToolError::Denied("nobody of that name can be reached"))?;
            parties.may_reach(target)?;
            if Some(target) == parties.own.as_ref() || Some(target) == parties.other.as_ref() {
                return Err(ToolError::Denied("this call would be connected with itself"));
            }
            let warm_summary = warm.then(|| needed("summary").map(str::to_owned)).transpose()?;
            let effect = Effect::Transfer { target: target.clone(), name: name.to_owned(), warm_summary };
            Ok((effect, json!({ "status": "the caller is being connected", "target": name })))
        }
        Builtin::SendMessage { allow, max_chars } => {
            let (name, body) = (needed("to")?, needed("body")?);
            if body.trim().is_empty() || body.chars().count() > *max_chars {
                return Err(ToolError::Denied("the message is empty or too long"));
            }
            let to = match name {
                "caller" => {
                    parties.other.as_ref().ok_or(ToolError::Denied("the caller's number is withheld"))?
                }
                name => allow.get(name).ok_or(ToolError::Denied("nobody of that name can be written to"))?,
            };
            parties.may_reach(to)?;
            let effect = Effect::SendMessage { to: to.clone(), body: body.to_owned() };
            Ok((effect, json!({ "status": "the message is being sent", "to": name })))
        }
        Builtin::PressKeys => {
            let digits = needed("digits")?;
            let key = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'w' | b'W');
            if !KEYS_AT_ONCE.contains(&digits.len()) || !digits.bytes().all(key) {
                return Err(ToolError::Denied("these are no keys of a telephone"));
            }
            Ok((
                Effect::PressKeys { digits: digits.to_owned() },
                json!({ "status": "the keys are being pressed" }),
            ))
        }
        Builtin::TakeNote { max_chars } => {
            let text = needed("text")?;
            if text.trim().is_empty() || text.chars().count() > *max_chars {
                return Err(ToolError::Denied("the note is empty or too long"));
            }
            Ok((Effect::TakeNote { text: text.to_owned() }, json!({ "status": "noted" })))
        }
    }
}

#[cfg(test)]
mod tests;
