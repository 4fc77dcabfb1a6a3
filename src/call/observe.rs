//! What can be seen of a call from outside while it lives: snapshot and stream of events.

use serde::Serialize;
use utoipa::ToSchema;

use super::CallEnd;
use crate::openai::wire::Usage;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person on the phone.
    Caller,
    /// The model.
    Aria,
}

/// One turn of the transcript, in the order in which the conversation has it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Turn {
    /// The model's id of the item.
    pub item_id: String,
    /// Who speaks.
    pub speaker: Speaker,
    /// What was said; of an interrupted reply what the model believes was heard, if it tells.
    pub text: String,
    /// When it began, ms since the webhook.
    pub from_ms: u64,
    /// When it ended, ms since the webhook; 0 while it goes on.
    pub to_ms: u64,
    /// ARIA was cut off by the caller.
    pub interrupted: bool,
}

/// How far a call has come. Each is reached once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Twilio's webhook was accepted.
    Webhook,
    /// OpenAI answered the offer.
    ModelAnswered,
    /// The model's session exists (`session.created`).
    ModelReady,
    /// Twilio's media stream started.
    MediaStarted,
    /// The first frame of the caller went to the model.
    FirstFrame,
    /// The first audible frame of ARIA was handed to Twilio.
    FirstReply,
}

/// What happens in a call, as it happens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallEvent {
    /// A milestone, ms since the webhook.
    Progress {
        /// Which.
        step: Progress,
        /// When.
        at_ms: u64,
    },
    /// The model heard the caller begin to speak.
    SpeechStarted {
        /// ms since the webhook.
        at_ms: u64,
    },
    /// The model heard the caller stop.
    SpeechStopped {
        /// ms since the webhook.
        at_ms: u64,
    },
    /// ARIA began to be heard.
    ReplyStarted {
        /// ms since the webhook.
        at_ms: u64,
    },
    /// ARIA's reply was played to its end.
    ReplyStopped {
        /// ms since the webhook.
        at_ms: u64,
    },
    /// The caller cut ARIA off: Twilio's queue was cleared.
    Interrupted {
        /// ms since the webhook.
        at_ms: u64,
        /// From `speech_started` arriving to `clear` written, microseconds.
        clear_us: u64,
        /// How much of the reply was heard, ms; absent if its beginning was not noticed.
        heard_ms: Option<u64>,
    },
    /// A piece of transcript, to be appended to the turn of this item.
    Transcript {
        /// The model's id of the item.
        item_id: String,
        /// Who speaks.
        speaker: Speaker,
        /// The text so far.
        text: String,
        /// No more will come for this item.
        done: bool,
    },
    /// The model called a tool.
    ToolStarted {
        /// The model's id of the call.
        call_id: String,
        /// Its name.
        name: String,
        /// As the model wrote them: JSON text.
        arguments: String,
        /// ms since the webhook.
        at_ms: u64,
    },
    /// The tool answered or failed.
    ToolEnded {
        /// The model's id of the call.
        call_id: String,
        /// Its name.
        name: String,
        /// Whether the model got a result rather than an error.
        ok: bool,
        /// What the model was told.
        output: String,
        /// How long it took, ms.
        took_ms: u64,
    },
    /// ARIA's reply to a turn of the caller is heard: how long each part of the wait took.
    Replied {
        /// ms since the webhook.
        at_ms: u64,
        /// The parts.
        latency: Latency,
    },
    /// The caller pressed a key. Which one is not told: it may be a card number.
    Dtmf,
    /// ARIA wrote something down.
    Note {
        /// ms since the webhook.
        at_ms: u64,
        /// What.
        text: String,
    },
    /// The conversation went on with another session of the model.
    Renewed {
        /// ms since the webhook.
        at_ms: u64,
        /// Prepared beforehand, rather than after the old session was lost.
        planned: bool,
        /// How long nobody listened, ms.
        gap_ms: u64,
    },
    /// Twilio's stream broke, and another one took its place.
    StreamReturned {
        /// ms since the webhook.
        at_ms: u64,
        /// How long there was none, ms.
        gap_ms: u64,
    },
    /// The call is over.
    Ended {
        /// Why.
        reason: CallEnd,
        /// ms since the webhook.
        at_ms: u64,
    },
}

/// From the end of the caller's speech to ARIA's voice: when each part was done, ms since the model heard the caller stop. Twilio's
/// way and the model's own detection of silence are not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Latency {
    /// The model began to answer (`response.created`).
    pub created_ms: u64,
    /// The reply's sound began to come (`output_audio_buffer.started`).
    pub sounding_ms: u64,
    /// Its first frame was handed to Twilio; 0 if that was not seen.
    pub sent_ms: u64,
}

/// Percentiles of one direction's added delay, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub struct Delays {
    /// Frames measured.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

impl Delays {
    /// Reads them off a histogram.
    pub fn of(histogram: &pipeline::AgeHistogram) -> Self {
        let us = |q: f64| histogram.percentile(q).as_micros() as u64;
        Self {
            count: histogram.count(),
            p50_us: us(0.50),
            p95_us: us(0.95),
            p99_us: us(0.99),
            max_us: histogram.max().as_micros() as u64,
        }
    }
}

/// What the audio road counted in one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sound {
    /// By how much later than by the fastest path the jitter buffer wants sound to be heard, microseconds.
    pub jitter_target_us: u64,
    /// Of that, what it waits itself; the rest is spent at the far end, microseconds.
    pub jitter_wait_us: u64,
    /// Media messages taken from the caller, 20 ms each.
    pub frames_in: u64,
    /// Frames of 20 ms made for the caller.
    pub frames_out: u64,
    /// Audio made up for packets of the model that were lost, ms.
    pub concealed_ms: u64,
    /// Lost packets recovered from the next one.
    pub recovered: u64,
    /// Packets of the model that came after their place had been played.
    pub late: u64,
    /// Frames and packets given up because a queue was full.
    pub dropped: u64,
}

impl Sound {
    /// Reads a call's counters.
    pub fn of(stats: &pipeline::CallStats) -> Self {
        Self {
            jitter_target_us: stats.target().as_micros() as u64,
            jitter_wait_us: stats.wait().as_micros() as u64,
            frames_in: stats.frames_in.get(),
            frames_out: stats.frames_out.get(),
            concealed_ms: stats.concealed_ms.get(),
            recovered: stats.fec.get(),
            late: stats.late.get(),
            dropped: stats.dropped_full.get(),
        }
    }
}

/// A call at one moment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Snapshot {
    /// Twilio's id of the call.
    pub call_sid: String,
    /// Which agent answers.
    pub agent: String,
    /// The caller's number, masked but for its last two digits.
    pub from: String,
    /// The number that was called, masked likewise.
    pub to: String,
    /// Milestones reached, with ms since the webhook.
    pub progress: Vec<(Progress, u64)>,
    /// The conversation so far.
    pub transcript: Vec<Turn>,
    /// Caller to model: from Twilio's message read to the RTP packet sent.
    pub uplink: Option<Delays>,
    /// Model to caller: from the moment a frame was due to Twilio's message written.
    pub downlink: Option<Delays>,
    /// What the audio road counted; absent until the stream flows.
    pub sound: Option<Sound>,
    /// What waited at Twilio before each of ARIA's frames, as its queue is modelled: delay that the caller hears.
    pub far_end: Option<Delays>,
    /// How often the caller cut ARIA off.
    pub interruptions: u64,
    /// Tokens billed so far.
    pub total_tokens: u64,
    /// The same by kind.
    pub usage: Usage,
    /// Sessions of the model that the call has had.
    pub sessions: u32,
    /// Why it ended, once it has.
    pub ended: Option<CallEnd>,
}
