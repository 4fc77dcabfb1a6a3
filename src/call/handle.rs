//! What the rest of the bridge holds of a call: it may attach a media stream, ask how it stands, and end it.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pipeline::{AgeHistogram, CallStats, MediaPort};
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::{CallEnd, CallEvent, Dialed, Inbound, Listening, Onward, Snapshot, Sound};
use crate::bell::TaskBell;
use crate::recording::Tape;
use crate::twilio::wire::Start;

/// Requests waiting at a call's task. One attach and a few ends ever come.
pub(super) const REQUEST_QUEUE: usize = 8;
/// Events a slow observer may lag behind before it misses some.
const EVENT_BACKLOG: usize = 256;

/// Which recording of the bridge's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clip {
    /// The agent's greeting.
    Greeting,
    /// That it takes a moment.
    Wait,
}

/// To the media socket.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaCommand {
    /// Send `clear` at once, then only frames of this generation or younger.
    Clear {
        /// The new generation.
        generation: u32,
        /// When the reason for it arrived: the delay to the write is recorded.
        since: Instant,
    },
    /// Keep ARIA's sound back.
    Hold,
    /// Send what was kept back, and go on.
    Resume,
    /// Play a recording: mu-law at 8 kHz. It ends early where the model's own sound or a `clear` comes.
    Play {
        /// Which; `None`: tones.
        clip: Option<Clip>,
        /// The recording.
        sound: Arc<[u8]>,
    },
    /// Ask Twilio to echo `name` when everything before it has been played.
    Mark {
        /// The name.
        name: String,
    },
    /// Close the socket: Twilio goes on with the verbs after `</Connect>`.
    Close {
        /// RFC 6455 close code.
        code: u16,
        /// Why, for Twilio's debugger.
        reason: &'static str,
    },
}

/// From the media socket.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// The caller pressed a key.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
    },
    /// Twilio played everything up to this mark, or a `clear` discarded it.
    Mark {
        /// The name we gave it.
        name: String,
    },
    /// The first frame of ARIA after a silence was written.
    VoiceOut,
    /// The recording was sent to its end, or gave way.
    ClipEnded {
        /// Which; `None`: tones.
        clip: Option<Clip>,
        /// How much of it the caller has heard by the time it ends.
        heard: Duration,
        /// How long it is.
        whole: Duration,
    },
    /// `clear` was written.
    Cleared {
        /// The generation it began.
        generation: u32,
        /// Since the moment the command carried.
        after: Duration,
        /// Up to where the model's sound will have been played; `None` if none of it was sent lately.
        played: Option<Played>,
    },
    /// No message for 5 s.
    Stalled,
    /// Round trip of a WebSocket ping.
    Rtt(Duration),
    /// Twilio said `stop`.
    Stop,
    /// The socket is gone. Always the last event.
    Closed {
        /// What ended it.
        why: MediaClosed,
        /// Of a stream that was lost: up to where the model's sound was played; `None` if none of it was sent lately.
        played: Option<Played>,
    },
}

/// A place in the model's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// RTP time, on the model's clock, of the first sample of a frame of 20 ms.
    pub source: u32,
    /// Whether that frame was played to its end, rather than not at all.
    pub whole: bool,
}

/// How a media socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaClosed {
    /// After `stop`, or closed by us.
    Orderly,
    /// Reset, half-open, or closed without `stop`.
    Lost,
    /// The peer broke the protocol and was refused.
    Refused,
}

/// A media stream's share of its call.
pub struct Attached {
    /// The audio: caller's frames in, ARIA's frames out.
    pub port: MediaPort,
    /// Rings when ARIA's frames are ready.
    pub bell: Arc<TaskBell>,
    /// What the call wants of the socket. Closed: the call is over, close the socket.
    pub commands: mpsc::Receiver<MediaCommand>,
    /// What the socket tells the call. Full: drop and count, never wait.
    pub events: mpsc::Sender<MediaEvent>,
    /// The call's audio counters.
    pub stats: Arc<CallStats>,
    /// To be filled by the writer: from the moment a frame was due to its message written.
    pub written: Arc<AgeHistogram>,
    /// Whether the model listens. Until it does the caller's frames are kept.
    pub listening: Arc<Listening>,
    /// To be filled by the writer: what waited at Twilio before each frame, as far as it can be known from here.
    pub ahead: Arc<AgeHistogram>,
    /// What the call is recorded with; `None`: it is not.
    pub tape: Option<Arc<Mutex<Tape>>>,
    /// Where the socket is to be served: on the core that the call's sound is worked on.
    pub runtime: Handle,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").finish_non_exhaustive()
    }
}

/// Why a stream may not attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The call is over.
    #[error("the call is over")]
    Ended,
    /// The stream's media format is not one we speak.
    #[error("unsupported media format")]
    Format,
    /// No audio worker has room.
    #[error("no audio worker has room")]
    Full,
}

pub(super) enum Request {
    Attach { start: Box<Start>, reply: oneshot::Sender<Result<Attached, AttachError>> },
    Say(String),
    Transfer(Onward),
    Returned(Dialed),
    Reopening,
    Machine { beep: bool },
    End(CallEnd),
}

pub(super) struct Shared {
    pub inbound: Inbound,
    pub requests: mpsc::Sender<Request>,
    pub snapshot: Mutex<Snapshot>,
    /// The counters of its sound, which go on counting; `None` before the first stream.
    pub stats: Mutex<Option<Arc<CallStats>>>,
    /// Made for the first observer: most calls have none, and the backlog is 30 kB.
    pub events: OnceLock<broadcast::Sender<CallEvent>>,
    /// Where the caller is being put through to.
    pub onward: Mutex<Option<Onward>>,
    pub ended: watch::Sender<Option<CallEnd>>,
    pub released: watch::Sender<bool>,
}

/// A call, held from outside. Cheap to clone.
#[derive(Clone)]
pub struct CallHandle(pub(super) Arc<Shared>);

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CallHandle").field(&self.0.inbound).finish()
    }
}

impl CallHandle {
    /// The webhook that began it.
    pub fn inbound(&self) -> &Inbound {
        &self.0.inbound
    }

    /// Gives the call its media stream. Called once per stream, after the stream's token was claimed.
    pub async fn attach(&self, start: Start) -> Result<Attached, AttachError> {
        let (reply, answer) = oneshot::channel();
        self.0
            .requests
            .send(Request::Attach { start: Box::new(start), reply })
            .await
            .map_err(|_| AttachError::Ended)?;
        answer.await.map_err(|_| AttachError::Ended)?
    }

    /// Ends the call. The first reason wins; later ones are ignored.
    pub fn end(&self, reason: CallEnd) {
        // A full queue means ends are already waiting there.
        let _ = self.0.requests.try_send(Request::End(reason));
    }

    /// Has something said in ARIA's voice, as it is.
    pub fn say(&self, text: String) {
        self.ask(Request::Say(text));
    }

    /// Puts the caller through, once what is being said has been heard.
    pub fn transfer(&self, onward: Onward) {
        self.ask(Request::Transfer(onward));
    }

    /// Where the caller is being put through to; his stream was closed for that.
    pub fn onward(&self) -> Option<Onward> {
        self.0.onward.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// The attempt to put the caller through is over. Unless they have talked, his stream is to be opened again.
    pub fn returned(&self, dialed: Dialed) {
        *self.0.onward.lock().unwrap_or_else(|e| e.into_inner()) = None;
        match dialed {
            Dialed::Completed => self.end(CallEnd::Transferred),
            _ => self.ask(Request::Returned(dialed)),
        }
    }

    /// Twilio was told to open another stream. Until it does, the call is kept for a while.
    pub fn reopening(&self) {
        self.ask(Request::Reopening);
    }

    /// A machine answered our call. `beep`: it records now.
    pub fn machine_detected(&self, beep: bool) {
        self.ask(Request::Machine { beep });
    }

    fn ask(&self, request: Request) {
        if self.0.requests.try_send(request).is_err() {
            metrics::counter!("aria_call_requests_dropped_total").increment(1);
        }
    }

    /// Why the call ended, if it has.
    pub fn is_ended(&self) -> Option<CallEnd> {
        *self.0.ended.borrow()
    }

    /// Resolves when the call is over and everything it held is released.
    pub async fn ended(&self) -> CallEnd {
        let mut released = self.0.released.subscribe();
        // The sender lives in `self`: waiting cannot fail.
        let _ = released.wait_for(|done| *done).await;
        self.is_ended().unwrap_or(CallEnd::Internal)
    }

    /// What the audio road has counted up to this moment; `None` before the first stream.
    pub fn sound(&self) -> Option<Sound> {
        let stats = self.0.stats.lock().unwrap_or_else(|e| e.into_inner()).clone();
        stats.map(|stats| Sound::of(&stats))
    }

    /// How the call stands now.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// What happens from now on. An observer that falls 256 events behind misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<CallEvent> {
        self.0.events.get_or_init(|| broadcast::channel(EVENT_BACKLOG).0).subscribe()
    }
}
