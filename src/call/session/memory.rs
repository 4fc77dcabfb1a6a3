//! What the next session is told of the conversation so far. Pure.
//!
//! OpenAI's sessions begin empty and cannot be taken over, so the turns are given as text: sound cannot be given back.

use super::super::Speaker;
use super::super::transcript::Transcript;
use super::tools::Finished;
use crate::openai::wire::ClientEvent;

/// Turns and tool calls given word by word. Older ones are in the summary, if there is one.
pub const MAX_TURNS: usize = 40;
/// Text given word by word, bytes.
const MAX_BYTES: usize = 16 * 1024;

/// More has been said than is given word by word: a summary is worth its while.
pub(super) fn is_long(transcript: &Transcript) -> bool {
    let turns = transcript.turns().iter().filter(|turn| !turn.text.is_empty());
    let (count, bytes) = turns.fold((0, 0), |(n, bytes), turn| (n + 1, bytes + turn.text.len()));
    count > MAX_TURNS || bytes > MAX_BYTES
}

/// The items of a conversation, the oldest first.
pub(super) fn items<'a>(
    transcript: &Transcript,
    tools: impl Iterator<Item = &'a Finished>,
    summary: Option<&str>,
) -> Vec<ClientEvent> {
    let mut entries: Vec<(u64, usize, Vec<ClientEvent>)> = Vec::new();
    for turn in transcript.turns().iter().filter(|turn| !turn.text.is_empty()) {
        let text = match turn.interrupted {
            true => format!("{} [interrupted by the caller]", turn.text),
            false => turn.text.clone(),
        };
        let bytes = text.len();
        let event = match turn.speaker {
            Speaker::Caller => ClientEvent::UserText { text },
            Speaker::Aria => ClientEvent::AssistantText { text },
        };
        entries.push((turn.from_ms, bytes, vec![event]));
    }
    for call in tools {
        let (call_id, output) = (call.call_id.clone(), call.output.clone());
        let (name, arguments) = (call.name.clone(), call.arguments.clone());
        let bytes = output.len() + arguments.len();
        let called = ClientEvent::FunctionCall { call_id: call_id.clone(), name, arguments };
        entries.push((call.at_ms, bytes, vec![called, ClientEvent::FunctionOutput { call_id, output }]));
    }
    // Turns are placed by what they answer, not by the clock; only the tools have to be fitted in.
    entries.sort_by_key(|(at, _, _)| *at);

    let mut bytes = 0;
    let kept = entries.iter().rev().take(MAX_TURNS).take_while(|(_, length, _)| {
        bytes += length;
        bytes <= MAX_BYTES
    });
    let first = entries.len() - kept.count();
    let mut items = Vec::new();
    if let Some(summary) = summary {
        items.push(ClientEvent::SystemText { text: format!("What was said before, in short: {summary}") });
    } else if first > 0 {
        items.push(ClientEvent::SystemText { text: "The beginning of the conversation is left out.".into() });
    }
    items.extend(entries.into_iter().skip(first).flat_map(|(_, _, events)| events));
    items
}
