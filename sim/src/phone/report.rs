//! What a call was like, for tests and for people.

use std::path::Path;
use std::time::Duration;

use super::timeline::{Entry, Moment};
use super::twiml;
use super::validator::ViolationKind;
use crate::wav;

/// A rule the bridge broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub kind: ViolationKind,
    /// What was seen.
    pub detail: String,
}

/// Who ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The caller put the phone down.
    Caller,
    /// The bridge, over the REST API.
    Rest,
    /// The document: `<Hangup>`, `<Reject>` or nothing left to do.
    Document,
    /// The longest duration of the plan.
    Limit,
    /// No usable document: Twilio says "an application error has occurred" and hangs up.
    Failure,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub by: EndedBy,
    /// How, in words.
    pub how: String,
}

impl Ended {
    pub(crate) fn new(by: EndedBy, how: impl Into<String>) -> Self {
        Self { by, how: how.into() }
    }
}

/// A media message of the bridge. Times since the first webhook was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it was read from the socket.
    pub at: Duration,
    /// Its audio, mu-law bytes; 8 a millisecond.
    pub bytes: usize,
    /// The audio that was waiting before it, mu-law bytes: the delay it adds to this one.
    pub queued_bytes: usize,
    /// The same as time, with the rest of the frame that sounds.
    pub ahead: Duration,
    /// How late the phone was with the beat that sounds: on a machine too busy for it, it plays and answers late, as Twilio would not.
    pub beat_late: Duration,
}

/// A mark of the bridge. Times since the first webhook was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// When it was read from the socket.
    pub received: Duration,
    /// When it was echoed, if it was.
    pub echoed: Option<Duration>,
    /// Whether `clear` was the reason.
    pub cleared: bool,
}

/// How well the phone kept its own time: the delay from the moment a frame was due to the moment its message was written to the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lateness {
    /// Frames written.
    pub frames: usize,
    /// The median.
    pub p50: Duration,
    /// One in a hundred is later.
    pub p99: Duration,
    /// The latest.
    pub max: Duration,
    /// Frames that were due and not sent because the bridge did not read (Twilio: 31930).
    pub dropped: usize,
    /// Beats that this machine missed altogether.
    pub missed: u64,
}

impl Lateness {
    pub(crate) fn of(mut micros: Vec<u32>, dropped: usize, missed: u64) -> Self {
        micros.sort_unstable();
        let at = |q: f64| {
            let index = ((micros.len() as f64 * q) as usize).min(micros.len().saturating_sub(1));
            Duration::from_micros(u64::from(micros.get(index).copied().unwrap_or_default()))
        };
        Self { frames: micros.len(), p50: at(0.5), p99: at(0.99), max: at(1.0), dropped, missed }
    }
}

/// A request Twilio made to the bridge and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The path and query asked for.
    pub path: String,
    /// When it was sent.
    pub sent: Duration,
    /// When the whole answer was there, or the failure.
    pub answered: Duration,
    /// The HTTP status; nothing if there was none.
    pub status: Option<u16>,
    /// The answer's body, up to 64 kB.
    pub body: String,
    /// Twilio's error number, if the exchange failed.
    pub code: Option<u32>,
}

/// What the bridge's pings and frames were like on one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Framing {
    /// WebSocket frames received.
    pub frames: u64,
    /// Pings among them.
    pub pings: u64,
}

/// Everything about one call. Times since the first webhook was sent.
#[derive(Clone)]
pub struct CallReport {
    /// The call.
    pub call_sid: String,
    /// Its streams in order.
    pub stream_sids: Vec<String>,
    /// What happened, in order of time.
    pub timeline: Vec<Entry>,
    /// When sample 0 of `said` and `heard` was; nothing if the call was never answered.
    pub answered: Option<Duration>,
    /// What the caller said, 8 kHz, silence included.
    pub said: Vec<i16>,
    /// What the caller heard, 8 kHz, on the same axis.
    pub heard: Vec<i16>,
    /// Every media message of the bridge.
    pub arrivals: Vec<Arrival>,
    /// Every mark of the bridge.
    pub marks: Vec<Mark>,
    /// Every rule the bridge broke, the first 1 000 of them.
    pub violations: Vec<Violation>,
    /// What Twilio would have warned of.
    pub warnings: Vec<twiml::Warning>,
    /// Every document the bridge answered with.
    pub twiml: Vec<String>,
    /// Webhooks: the first, its repeats, actions and redirects.
    pub webhooks: Vec<Exchange>,
    /// Status callbacks.
    pub callbacks: Vec<Exchange>,
    /// The framing of the last stream.
    pub framing: Framing,
    /// How well the phone kept time.
    pub lateness: Lateness,
    /// Steps of the script done, and how many there are.
    pub steps: (usize, usize),
    /// How it ended.
    pub ended: Ended,
}

impl CallReport {
    /// The time of the first moment that `pick` likes.
    pub fn when(&self, pick: impl Fn(&Moment) -> bool) -> Option<Duration> {
        self.timeline.iter().find(|e| pick(&e.what)).map(|e| e.at)
    }

    /// The times of all moments that `pick` likes.
    pub fn times(&self, pick: impl Fn(&Moment) -> bool) -> Vec<Duration> {
        self.timeline.iter().filter(|e| pick(&e.what)).map(|e| e.at).collect()
    }

    /// The index in `said` and `heard` of a time of the timeline; 0 before the answer.
    pub fn sample_at(&self, at: Duration) -> usize {
        let since = at.saturating_sub(self.answered.unwrap_or_default());
        (since.as_nanos() * 8 / 1_000_000) as usize
    }

    /// Writes both sides as a stereo WAV: the caller left, ARIA right.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_wav(&self, path: &Path) -> Result<(), hound::Error> {
        wav::write_stereo(path, 8_000, &self.said, &self.heard)
    }
}

impl std::fmt::Debug for CallReport {
    /// Short, and without documents and bodies: they hold one-time tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallReport")
            .field("call_sid", &self.call_sid)
            .field("ended", &self.ended)
            .field("seconds", &(self.heard.len() as f64 / 8_000.0))
            .field("violations", &self.violations)
            .field("warnings", &self.warnings)
            .field("steps", &self.steps)
            .field("lateness", &self.lateness)
            .field("timeline", &self.timeline)
            .finish_non_exhaustive()
    }
}
