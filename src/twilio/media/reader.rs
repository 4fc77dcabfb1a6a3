//! The reader of a media socket. It waits for nothing but the socket: what the call cannot take at once is dropped and counted,
//! because Twilio throws the caller's sound away when we read slowly (warning 31930).

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use pipeline::{MediaFrame, MediaPort, Nanos};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::intake::{Intake, Taken};
use super::kept::{self, Kept};
use super::pings::Pings;
use super::quiet::Quiet;
use super::watchdog::{Verdict, Watchdog};
use super::{StreamEnd, broken, dropped, lock};
use crate::call::{Listening, MediaEvent};
use crate::hosting::rate::Bucket;
use crate::recording::Tape;
use crate::twilio::far_end::FarEnd;
use crate::twilio::order::{Kind, Phase};
use crate::twilio::wire::{Event, parse};

/// Messages a second in the long run: twenty times what Twilio sends.
const MESSAGES_PER_SECOND: u32 = 1000;
/// Messages at once: 40 s of sound after a stall.
const MESSAGE_BURST: u32 = 2000;
/// Keys a second; a person presses five.
const KEYS_PER_SECOND: u32 = 20;
/// How often the watchdog looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What the reader needs of its stream.
pub(super) struct Reader<'a, S> {
    pub stream: &'a mut SplitStream<WebSocketStream<S>>,
    pub port: &'a Mutex<MediaPort>,
    pub far_end: &'a Mutex<FarEnd>,
    pub pings: &'a Pings,
    pub quiet: &'a Quiet,
    pub events: mpsc::Sender<MediaEvent>,
    pub cancelled: &'a Notify,
    pub listening: &'a Listening,
    pub tape: Option<&'a Mutex<Tape>>,
    pub intake: Intake,
    /// What the caller said while nobody listened.
    pub kept: Kept,
    pub stream_sid: &'a str,
    pub phase: Phase,
    /// The number of the next message.
    pub sequence: Option<u64>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<'_, S> {
    /// Reads until the stream or the socket ends.
    pub async fn run(mut self) -> StreamEnd {
        let mut watchdog = Watchdog::new(pipeline::now());
        let mut messages = Bucket::new(MESSAGES_PER_SECOND, MESSAGE_BURST);
        let mut keys = Bucket::new(KEYS_PER_SECOND, KEYS_PER_SECOND);
        let mut watch = tokio::time::interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut catch_up = tokio::time::interval(kept::EVERY);
        catch_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cancelled = std::pin::pin!(self.cancelled.notified());
        loop {
            let message = tokio::select! {
                biased;
                message = self.stream.next() => message,
                _ = watch.tick() => {
                    match watchdog.check(pipeline::now()) {
                        Verdict::Fine => {}
                        Verdict::Stalled => {
                            self.tell(MediaEvent::Stalled);
                            self.pings.want();
                        }
                        Verdict::Dead => return StreamEnd::HalfOpen,
                    }
                    continue;
                }
                () = &mut cancelled => return StreamEnd::Superseded,
                _ = catch_up.tick(), if !self.kept.is_empty() && self.listening.get() => {
                    self.kept.release(|frame| push(self.port, frame));
                    continue;
                }
                () = self.listening.turned_on(), if !self.kept.is_empty() => continue,
            };
            let born = pipeline::now();
            watchdog.heard(born);
            self.quiet.look(born);
            if !messages.take(Duration::from_nanos(born.0)) {
                return StreamEnd::Flood;
            }
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Pong(payload))) => {
                    if let Some(round_trip) = self.pings.answered(&payload, born) {
                        lock(self.far_end).pinged(round_trip, born);
                        self.tell(MediaEvent::Rtt(round_trip));
                    }
                    continue;
                }
                // Answered by the WebSocket layer.
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => return StreamEnd::Binary,
                Some(Ok(Message::Close(_))) | None => return StreamEnd::ClosedByPeer,
                Some(Err(error)) => return broken(&error),
            };
            if let ControlFlow::Break(end) = self.message(&text, born, &mut watchdog, &mut keys) {
                return end;
            }
        }
    }

    fn message(
        &mut self,
        text: &str,
        born: Nanos,
        watchdog: &mut Watchdog,
        keys: &mut Bucket,
    ) -> ControlFlow<StreamEnd> {
        let Ok(message) = parse(text) else { return ControlFlow::Break(StreamEnd::Malformed) };
        let kind = match &message.event {
            Event::Media(_) => Kind::Media,
            Event::Mark(_) => Kind::Mark,
            Event::Dtmf(_) => Kind::Dtmf,
            Event::Stop => Kind::Stop,
            Event::Connected => Kind::Connected,
            Event::Start(_) => Kind::Start,
            Event::Unknown => {
                dropped("unknown_event");
                return ControlFlow::Continue(());
            }
        };
        if message.stream_sid.as_ref().is_some_and(|sid| sid != self.stream_sid) {
            dropped("other_stream");
            return ControlFlow::Continue(());
        }
        match self.phase.after(kind) {
            Ok(phase) => self.phase = phase,
            Err(_) => return ControlFlow::Break(StreamEnd::OutOfOrder),
        }
        self.count(message.sequence);
        match message.event {
            Event::Media(media) => {
                let Self { port, far_end, kept, tape, .. } = self;
                // What was kept goes first.
                let keep = !kept.is_empty() || !self.listening.get();
                let taken = self.intake.take(&media, born, |frame| {
                    lock(far_end).caller(frame.time, born);
                    if let Some(tape) = tape {
                        lock(tape).caller(frame.time, frame.payload());
                    }
                    if !keep {
                        push(port, frame);
                    } else if kept.keep(frame) {
                        dropped("nobody_listens");
                    }
                });
                match taken {
                    Taken::Frames { gap, reset } => {
                        watchdog.media(born);
                        if gap > 0 {
                            metrics::counter!("aria_media_gaps_total").increment(1);
                        }
                        if reset {
                            metrics::counter!("aria_media_clock_resets_total").increment(1);
                        }
                    }
                    Taken::OtherTrack => dropped("other_track"),
                    Taken::Duplicate => dropped("duplicate"),
                    Taken::Bad => dropped("undecodable"),
                    Taken::TooManyBad => return ControlFlow::Break(StreamEnd::BadMedia),
                }
            }
            Event::Mark(name) => {
                if echoed(self.far_end, self.port, &name, born) {
                    self.tell(MediaEvent::Mark { name: name.into_owned() });
                } else {
                    metrics::counter!("aria_marks_total", "outcome" => "not_ours").increment(1);
                }
            }
            Event::Dtmf(Some(digit)) if keys.take(Duration::from_nanos(born.0)) => {
                self.tell(MediaEvent::Dtmf { digit });
            }
            Event::Dtmf(_) => dropped("key"),
            Event::Stop => {
                self.tell(MediaEvent::Stop);
                return ControlFlow::Break(StreamEnd::Stopped);
            }
            Event::Connected | Event::Start(_) | Event::Unknown => {}
        }
        ControlFlow::Continue(())
    }

    /// Counts what the numbers say is missing or doubled; the sound itself follows its own stamps.
    fn count(&mut self, sequence: Option<u64>) {
        let Some(number) = sequence else { return };
        if let Some(expected) = self.sequence {
            if number > expected {
                metrics::counter!("aria_stream_sequence_total", "kind" => "gap").increment(1);
            } else if number < expected {
                metrics::counter!("aria_stream_sequence_total", "kind" => "repeated").increment(1);
            }
        }
        self.sequence = number.checked_add(1);
    }

    fn tell(&self, event: MediaEvent) {
        if self.events.try_send(event).is_err() {
            dropped("event");
        }
    }
}

/// Hands a frame to the audio thread.
fn push(port: &Mutex<MediaPort>, frame: &MediaFrame<&[u8]>) {
    if lock(port).push(frame).is_err() {
        dropped("uplink_full");
    }
}

/// Takes an echo and tells the audio thread what it says of Twilio's queue. Returns whether the mark was ours.
fn echoed(far_end: &Mutex<FarEnd>, port: &Mutex<MediaPort>, name: &str, now: Nanos) -> bool {
    let mut far_end = lock(far_end);
    let ours = far_end.echoed(name, now);
    lock(port).set_far_end(far_end.ends());
    ours
}
