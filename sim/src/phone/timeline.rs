//! What happened in a call, and when: kept for the report and told live.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// A webhook was sent.
    WebhookSent {
        /// Its path.
        path: String,
    },
    /// A webhook was answered with a document.
    WebhookAnswered {
        /// The HTTP status.
        status: u16,
        /// The length of the document.
        bytes: usize,
    },
    /// A webhook failed, for good.
    WebhookFailed {
        /// Twilio's error number.
        code: u32,
    },
    /// The call was answered: sample 0 of what was said and heard.
    Answered,
    /// A verb began.
    Verb(&'static str),
    /// Twilio spoke this text.
    Spoken(String),
    /// Who answered a `<Dial>` heard this before the two were joined.
    Told(String),
    /// The stream's socket was asked for.
    StreamConnecting,
    /// The socket was upgraded: time 0 of the stream.
    StreamUpgraded,
    /// The socket could not be opened.
    StreamRefused {
        /// Twilio's error number.
        code: u32,
        /// The HTTP status, if there was one.
        status: Option<u16>,
    },
    /// `start` was sent.
    StartSent,
    /// The first frame of the caller was sent.
    FirstMediaSent,
    /// The first audio came from the bridge.
    FirstAudio,
    /// The other side was heard to begin speaking.
    HeardOn,
    /// The other side was heard to stop speaking.
    HeardOff,
    /// The caller's voice began.
    SaidOn,
    /// The caller's voice ended.
    SaidOff,
    /// A step of the script began.
    Step {
        /// Counted from 0.
        index: usize,
        /// What it is.
        what: String,
    },
    /// A step's wait ran out.
    StepTimedOut {
        /// Counted from 0.
        index: usize,
    },
    /// A step could not be done.
    StepFailed {
        /// Counted from 0.
        index: usize,
        /// Why.
        why: String,
    },
    /// A key was pressed.
    Dtmf,
    /// `clear` arrived.
    Clear {
        /// The audio that will not be heard.
        discarded: Duration,
    },
    /// A mark was echoed.
    MarkEchoed(String),
    /// The bridge broke a rule.
    Violation(super::report::Violation),
    /// Twilio would warn.
    Warning(super::twiml::Warning),
    /// A fault was injected.
    Fault(&'static str),
    /// The REST API was asked to change this call.
    Rest(&'static str),
    /// The bridge closed the stream.
    StreamClosed {
        /// The close code; 1006 if there was none.
        code: u16,
        /// The reason given.
        reason: String,
    },
    /// `stop` was sent.
    StopSent,
    /// A callback was answered.
    Callback {
        /// Its event, e.g. `stream-started` or `completed`.
        event: String,
        /// The HTTP status; nothing if there was no answer.
        status: Option<u16>,
    },
    /// The call is over.
    Ended(super::report::Ended),
}

/// A moment with its time since the webhook was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Since the first webhook was sent.
    pub at: Duration,
    /// What happened.
    pub what: Moment,
}

/// A moment of one of a phone's calls, as it happens.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneEvent {
    /// Which call.
    pub call_sid: String,
    /// What and when.
    pub entry: Entry,
}

/// The most moments a call keeps. A call of an hour with a mark every 200 ms needs 18 000; one that floods us must not grow without bound.
const CAPACITY: usize = 100_000;

/// The diary of a call: every part of the phone writes into it.
#[derive(Debug)]
pub(crate) struct Diary {
    pub(crate) call_sid: String,
    zero: Instant,
    entries: Mutex<Vec<Entry>>,
    live: broadcast::Sender<PhoneEvent>,
}

impl Diary {
    pub(crate) fn new(call_sid: String, zero: Instant, live: broadcast::Sender<PhoneEvent>) -> Self {
        Self { call_sid, zero, entries: Mutex::default(), live }
    }

    /// Time since the first webhook was sent.
    pub(crate) fn since(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.zero)
    }

    pub(crate) fn now(&self, what: Moment) {
        self.at(self.zero.elapsed(), what);
    }

    pub(crate) fn at(&self, at: Duration, what: Moment) {
        let entry = Entry { at, what };
        // Nobody listening is no error.
        let _ = self.live.send(PhoneEvent { call_sid: self.call_sid.clone(), entry: entry.clone() });
        let mut entries = self.entries.lock().expect("no writer panics while it holds the diary");
        if entries.len() < CAPACITY {
            entries.push(entry);
        }
    }

    /// The diary so far, in order of time: what is heard is known a little after it began.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries.lock().expect("no writer panics while it holds the diary").clone();
        entries.sort_by_key(|e| e.at);
        entries
    }
}
