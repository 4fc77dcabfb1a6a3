//! What the admin API answers with, as its document describes it.
//!
//! [`Call`] is put together elsewhere: a living call is its snapshot, a past one the record that it left, which an older version may have
//! written. The types here say what both come to; `tests/openapi.rs` holds real answers against them.
#![allow(
    dead_code,
    reason = "most of these types are described, not made: their JSON comes out of the records"
)]

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::call::{CallEnd, CallEvent, Delays, Direction, Latency, Progress, Snapshot, Sound, Speaker};

/// Why something was not done.
#[derive(Serialize, ToSchema)]
pub(super) struct Error {
    /// In words, for people.
    pub error: String,
}

/// Why a call was not placed.
#[derive(ToSchema)]
pub(super) struct NotPlaced {
    /// In words, for people.
    error: String,
    /// Twilio's own code, where the refusal is Twilio's.
    twilio_code: Option<u32>,
    /// Where Twilio explains its code.
    more_info: Option<String>,
}

/// Who is not an operator.
#[derive(IntoResponses)]
pub(super) enum NotAnOperator {
    /// The bearer token is missing or wrong.
    #[response(status = 401)]
    WithoutToken,
    /// No token is configured, and the request was not made on the bridge's own machine.
    #[response(status = 403)]
    FromElsewhere,
}

/// A call, living or past. `ended` tells which: it is null while the call goes on. Times are ms since the call began where nothing else
/// is said.
#[derive(ToSchema)]
pub(super) struct Call {
    /// Twilio's id of the call.
    call_sid: String,
    /// Twilio's id of the account. Past calls.
    #[schema(nullable = false)]
    account_sid: Option<String>,
    /// Who called whom.
    #[schema(nullable = false)]
    direction: Option<Direction>,
    /// Which agent answers.
    agent: String,
    /// The realtime model, as OpenAI names it. Past calls.
    #[schema(nullable = false)]
    model: Option<String>,
    /// The caller's number, masked but for its last two digits.
    #[schema(nullable = false)]
    from: Option<String>,
    /// The number that was called, masked likewise.
    #[schema(nullable = false)]
    to: Option<String>,
    /// The caller's number, whole.
    #[schema(nullable = false)]
    from_number: Option<String>,
    /// The number that was called, whole.
    #[schema(nullable = false)]
    to_number: Option<String>,
    /// When it began, Unix time in ms.
    #[schema(nullable = false)]
    started_ms: Option<u64>,
    /// When it ended, Unix time in ms. Past calls.
    #[schema(nullable = false)]
    ended_ms: Option<u64>,
    /// Why it ended; null while it goes on.
    #[schema(required = true)]
    ended: Option<CallEnd>,
    /// Milestones reached, each with its time. Absent if the bridge died during the call, as are the other figures of the audio.
    #[schema(nullable = false)]
    progress: Option<Vec<(Progress, u64)>>,
    /// Caller to model: from Twilio's message read to the RTP packet sent.
    uplink: Option<Delays>,
    /// Model to caller: from the moment a frame was due to Twilio's message written.
    downlink: Option<Delays>,
    /// What the audio road counted.
    sound: Option<Sound>,
    /// What waited at Twilio before each of ARIA's frames, as its queue is modelled: delay that the caller hears.
    far_end: Option<Delays>,
    /// `uplink.p99_us`, of past calls.
    uplink_p99_us: Option<u64>,
    /// `downlink.p99_us`, of past calls.
    downlink_p99_us: Option<u64>,
    /// How often the caller cut ARIA off. Null of a past call: nobody counted.
    #[schema(required = true)]
    interruptions: Option<u64>,
    /// Sessions of the model that the call has had.
    #[schema(nullable = false)]
    sessions: Option<u32>,
    /// Tokens billed.
    #[schema(required = true)]
    total_tokens: Option<u64>,
    /// The same by kind.
    usage: Spent,
    /// What the tokens cost, millionths of a US dollar; null where the model has no price. Past calls.
    cost_micros: Option<u64>,
    /// The recording of a past call; null: there is none.
    recording: Option<String>,
    /// The conversation. Of a past call only where it is asked for by its id, as are the next two.
    #[schema(nullable = false)]
    transcript: Option<Vec<Said>>,
    /// What the model asked of tools and was told.
    #[schema(nullable = false)]
    tool_calls: Option<Vec<ToolCall>>,
    /// What else happened.
    #[schema(nullable = false)]
    events: Option<Vec<Happened>>,
}

/// The sound of the living calls.
#[derive(Serialize, ToSchema)]
pub(super) struct Sounds {
    /// Those that have a stream.
    pub calls: Vec<Sounding>,
}

/// The sound of a living call.
#[derive(Serialize, ToSchema)]
pub(super) struct Sounding {
    /// Twilio's id of the call.
    pub call_sid: String,
    /// What the audio road has counted.
    pub sound: Sound,
}

/// Tokens by kind. Cached ones are part of those that came in. Null: the bridge died before it was told.
#[derive(ToSchema)]
struct Spent {
    /// All together.
    #[schema(required = true)]
    total_tokens: Option<u64>,
    /// Text that went in.
    #[schema(required = true)]
    text_in: Option<u64>,
    /// Sound that went in.
    #[schema(required = true)]
    audio_in: Option<u64>,
    /// Of the text that went in, what was cached.
    #[schema(required = true)]
    cached_text_in: Option<u64>,
    /// Of the sound that went in, what was cached.
    #[schema(required = true)]
    cached_audio_in: Option<u64>,
    /// Text that came out.
    #[schema(required = true)]
    text_out: Option<u64>,
    /// Sound that came out.
    #[schema(required = true)]
    audio_out: Option<u64>,
}

/// One turn of the conversation.
#[derive(ToSchema)]
struct Said {
    /// The model's id of the item.
    item_id: String,
    /// Who speaks.
    speaker: Speaker,
    /// What was said; of an interrupted reply what the model believes was heard, if it tells.
    text: String,
    /// When it began.
    from_ms: u64,
    /// When it ended; 0 while it goes on.
    to_ms: u64,
    /// ARIA was cut off by the caller.
    interrupted: bool,
    /// How long the caller waited for it: of replies, in past calls.
    latency: Option<Latency>,
}

/// What the model asked of a tool and was told.
#[derive(ToSchema)]
struct ToolCall {
    /// The model's id of the function call.
    call_id: String,
    /// The tool.
    name: String,
    /// As the model wrote them: JSON text.
    #[schema(required = true)]
    arguments: Option<String>,
    /// When.
    #[schema(required = true)]
    at_ms: Option<u64>,
    /// Whether the model got a result rather than an error; null: it never ended.
    #[schema(required = true)]
    ok: Option<bool>,
    /// What the model was told.
    #[schema(required = true)]
    output: Option<String>,
    /// How long it took, ms.
    #[schema(required = true)]
    took_ms: Option<u64>,
}

/// Something that happened in a past call.
#[derive(ToSchema)]
struct Happened {
    /// What: the `type` of the event, as a living call tells it.
    r#type: String,
    /// When.
    at_ms: u64,
    /// The event's other fields.
    detail: serde_json::Map<String, serde_json::Value>,
}

/// Calls, the latest first.
#[derive(ToSchema)]
pub(super) struct Calls {
    /// Living ones, then those of the past.
    calls: Vec<Call>,
    /// The `before` of the next page; null: there is none.
    #[schema(required = true)]
    next: Option<String>,
    /// The database does not answer: what is known without it is here.
    #[schema(nullable = false)]
    error: Option<String>,
}

/// What was removed.
#[derive(ToSchema)]
pub(super) struct Removed {
    /// How many calls.
    calls: u64,
}

/// A call that is being placed.
#[derive(ToSchema)]
pub(super) struct Placed {
    /// Twilio's id of the call.
    call_sid: String,
    /// How it stands, as Twilio says: `queued` as a rule.
    status: String,
    /// Who will talk.
    agent: String,
    /// The number that calls, masked but for its last two digits.
    from: String,
    /// The number that is called, masked likewise.
    to: String,
}

/// Webhooks that were given up, the latest first.
#[derive(ToSchema)]
pub(super) struct DeadLetters {
    /// 200 at most.
    webhooks: Vec<DeadLetter>,
}

/// A webhook that was given up.
#[derive(ToSchema)]
struct DeadLetter {
    /// Its id: the receiver's `aria-event-id`.
    id: String,
    /// What it tells of.
    r#type: String,
    /// The call.
    call_sid: String,
    /// When it was due first, Unix time in ms.
    created_ms: u64,
    /// Tries.
    attempts: u64,
    /// What the last one failed with.
    #[schema(required = true)]
    last_error: Option<String>,
}

/// What an observer of a living call is told: JSON in the `data` of a server-sent event.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Told {
    /// About the stream itself.
    Notice(Notice),
    /// About the call.
    Event(CallEvent),
}

/// What an observer gets beside the call's own events.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Notice {
    /// How the call stands; always first.
    Snapshot {
        /// The call.
        call: Box<Snapshot>,
    },
    /// The observer was too slow.
    Missed {
        /// How many events are lost to him.
        events: u64,
    },
}
