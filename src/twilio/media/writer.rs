//! The one writer of a media socket: `clear` first, then sound, marks and pings.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use pipeline::{AgeHistogram, MediaFormat, MediaFrame, MediaPort, Nanos, SampleRate};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::late;
use super::pings::Pings;
use super::quiet::Quiet;
use super::sources::Sources;
use super::voice::{Playing, Voice};
use super::{StreamEnd, dropped, lock};
use crate::bell::TaskBell;
use crate::call::{MediaCommand, MediaEvent};
use crate::recording::Tape;
use crate::twilio::far_end::FarEnd;
use crate::twilio::wire::Outgoing;

/// Frames between two marks: one per 160 ms. More often costs messages both ways, less often makes an interrupted reply's length
/// vaguer.
const FRAMES_PER_MARK: u32 = 8;
/// No frame for so long, and nothing of the caller by which the end would have been noticed sooner: a mark behind the last frame.
/// Shorter wakes the thread more often for a timer that was put off.
const MARK_AFTER: Duration = Duration::from_millis(250);
/// Between pings. They measure the round trip and keep a silent socket told from a dead one.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Longest a message may take to leave. The kernel holds what a peer does not take; this is a peer that takes nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the writer needs of its stream.
pub(super) struct Writer<'a, S> {
    pub sink: &'a mut SplitSink<WebSocketStream<S>, Message>,
    pub port: &'a Mutex<MediaPort>,
    pub far_end: &'a Mutex<FarEnd>,
    pub pings: &'a Pings,
    pub quiet: &'a Quiet,
    pub bell: &'a TaskBell,
    pub commands: mpsc::Receiver<MediaCommand>,
    pub events: mpsc::Sender<MediaEvent>,
    pub written: &'a AgeHistogram,
    pub ahead: &'a AgeHistogram,
    pub tape: Option<&'a Mutex<Tape>>,
    pub format: MediaFormat,
    pub sources: &'a mut Sources,
    pub voice: Voice,
    pub out: Outgoing,
}

/// What was sent since when.
#[derive(Default)]
struct Sent {
    generation: u32,
    /// Frames of this generation.
    frames: u32,
    /// Frames behind the last mark.
    unmarked: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<'_, S> {
    /// Writes until the call or the socket ends.
    pub async fn run(mut self) -> StreamEnd {
        let mut sent = Sent::default();
        let mut frame = MediaFrame::default();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut mark_due = pin!(sleep(MARK_AFTER));
        loop {
            let result = tokio::select! {
                biased;
                command = self.commands.recv() => self.command(command, &mut sent).await,
                () = self.bell.rung() => {
                    let result = self.drain(&mut frame, &mut sent).await;
                    mark_due.as_mut().reset(Instant::now() + MARK_AFTER);
                    result
                }
                () = self.quiet.noticed() => self.mark_rest(&mut sent).await,
                () = mark_due.as_mut(), if sent.unmarked > 0 => self.mark_frames(&mut sent).await,
                () = until(self.voice.next()) => {
                    let result = self.play(&mut sent).await;
                    mark_due.as_mut().reset(Instant::now() + MARK_AFTER);
                    result
                }
                _ = ping.tick() => self.ping().await,
                () = self.pings.wanted() => self.ping().await,
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Sends everything the audio thread has ready, one message a frame. A command never waits behind frames.
    async fn drain(&mut self, frame: &mut MediaFrame, sent: &mut Sent) -> Result<(), StreamEnd> {
        loop {
            while let Ok(command) = self.commands.try_recv() {
                self.command(Some(command), sent).await?;
            }
            if !lock(self.port).pop_into(frame) {
                // The bell also rings when a call has left its audio thread; its command to close may be on the way.
                return if lock(self.port).is_closed() && self.commands.is_empty() {
                    Err(StreamEnd::AudioStopped)
                } else {
                    Ok(())
                };
            }
            if !self.voice.holds() {
                self.send(frame, sent, true).await?;
            } else if self.voice.keep(frame) {
                dropped("held");
            }
        }
    }

    /// Sends a frame of the model's. One that `may_drop` is given up if it is too late to be of use.
    async fn send(&mut self, frame: &MediaFrame, sent: &mut Sent, may_drop: bool) -> Result<(), StreamEnd> {
        if frame.generation < sent.generation {
            dropped("old_generation");
            return Ok(());
        }
        if frame.generation > sent.generation {
            // The flush is in the audio before its command is here.
            *sent = Sent { generation: frame.generation, ..Sent::default() };
            lock(self.far_end).begin_generation();
        }
        let age = pipeline::now().saturating_sub(frame.due);
        if may_drop && !late::worth_sending(age, frame.payload(), self.format.encoding) {
            dropped("late_for_caller");
            return Ok(());
        }
        if self.voice.plays() {
            if late::is_silent(frame.payload(), self.format.encoding) {
                // The recording sounds; silence would only push it apart.
                return Ok(());
            }
            let gave_way = self.voice.stop();
            self.clip_ended(gave_way, 0);
        }
        self.write_sound(frame.payload(), Some(frame.source), sent).await?;
        self.written.record(pipeline::now().saturating_sub(frame.due));
        Ok(())
    }

    /// Sends the piece of the recording that is due.
    async fn play(&mut self, sent: &mut Sent) -> Result<(), StreamEnd> {
        let Some((piece, over)) = self.voice.piece() else { return Ok(()) };
        self.write_sound(&piece, None, sent).await?;
        self.clip_ended(over, 0);
        Ok(())
    }

    /// A recording is over, if there was one, and `unheard` samples of what was sent of it are not heard.
    fn clip_ended(&self, over: Option<Playing>, unheard: u64) {
        if let Some(Playing { clip, sound, at, .. }) = over {
            // A byte a sample, as it is kept.
            let time =
                |bytes: u64| Duration::from_micros(bytes * 1_000_000 / u64::from(SampleRate::Hz8000.hz()));
            let heard = time((at as u64).saturating_sub(unheard));
            self.tell(MediaEvent::ClipEnded { clip, heard, whole: time(sound.len() as u64) });
        }
    }

    /// Writes sound, and the mark that is due behind it.
    async fn write_sound(
        &mut self,
        sound: &[u8],
        source: Option<u32>,
        sent: &mut Sent,
    ) -> Result<(), StreamEnd> {
        sent.frames = sent.frames.wrapping_add(1);
        sent.unmarked += 1;
        let marked = sent.unmarked >= FRAMES_PER_MARK;
        let message = Message::Text(self.out.media(sound));
        if marked {
            self.feed(message).await?
        } else {
            self.write(message).await?
        }
        let samples = (sound.len() / self.format.encoding.bytes_per_sample()) as u64;
        let now = pipeline::now();
        self.quiet.wrote(now);
        self.queued(samples, sound, now);
        self.sources.sent(samples, source);
        if self.voice.begins(Instant::now()) {
            self.tell(MediaEvent::VoiceOut);
        }
        if marked { self.mark_frames(sent).await } else { Ok(()) }
    }

    async fn command(&mut self, command: Option<MediaCommand>, sent: &mut Sent) -> Result<(), StreamEnd> {
        match command {
            Some(MediaCommand::Clear { generation, since }) => {
                let text = self.out.clear();
                self.write(Message::Text(text)).await?;
                let after = since.elapsed();
                let samples = {
                    let mut far_end = lock(self.far_end);
                    let samples = far_end.clear(pipeline::now());
                    lock(self.port).set_far_end(far_end.ends());
                    if let (Some(tape), Some(silent)) = (self.tape, far_end.caller_time(far_end.ends())) {
                        lock(tape).cut(silent);
                    }
                    samples
                };
                let played = self.sources.at(samples);
                let unheard = self.sources.total().saturating_sub(samples);
                self.sources.clear();
                self.voice.clear();
                self.tell(MediaEvent::Cleared { generation, after, played });
                let cut = self.voice.stop();
                self.clip_ended(cut, unheard);
                if generation > sent.generation {
                    *sent = Sent { generation, ..Sent::default() };
                }
                Ok(())
            }
            Some(MediaCommand::Hold) => {
                self.voice.hold();
                Ok(())
            }
            Some(MediaCommand::Resume) => {
                // Twilio's queue grows by what was kept back; the audio thread takes it out again where nobody hears it.
                for frame in self.voice.resume(Instant::now()) {
                    self.send(&frame, sent, false).await?;
                }
                Ok(())
            }
            Some(MediaCommand::Play { clip, sound }) => {
                let playable = self.format == MediaFormat::default() && !sound.is_empty();
                let now = Instant::now();
                let gave_way = self.voice.play(clip, sound, now);
                self.clip_ended(gave_way, 0);
                if !playable {
                    let not_begun = self.voice.stop();
                    self.clip_ended(not_begun, 0);
                }
                Ok(())
            }
            Some(MediaCommand::Mark { name }) => self.mark(name).await,
            Some(MediaCommand::Close { code, reason }) => Err(StreamEnd::ClosedByCall { code, reason }),
            None => Err(StreamEnd::CallEnded),
        }
    }

    /// So many samples were written: what waited before them at Twilio, and until when they will have been played.
    fn queued(&self, samples: u64, sound: &[u8], now: Nanos) {
        let mut far_end = lock(self.far_end);
        self.ahead.record(far_end.depth(now));
        let begins = far_end.frame(samples, now);
        lock(self.port).set_far_end(far_end.ends());
        // Before the caller's first frame there is no time to put it at.
        if let Some(tape) = self.tape {
            lock(tape).aria(far_end.caller_time(begins).unwrap_or(0), sound);
        }
    }

    /// Whatever has no mark behind it gets one.
    async fn mark_rest(&mut self, sent: &mut Sent) -> Result<(), StreamEnd> {
        if sent.unmarked > 0 { self.mark_frames(sent).await } else { Ok(()) }
    }

    async fn mark_frames(&mut self, sent: &mut Sent) -> Result<(), StreamEnd> {
        sent.unmarked = 0;
        self.mark(format!("g{}:{}", sent.generation, sent.frames)).await
    }

    async fn mark(&mut self, name: String) -> Result<(), StreamEnd> {
        let text = self.out.mark(&name);
        let lost = lock(self.far_end).mark(name, pipeline::now());
        if lost > 0 {
            metrics::counter!("aria_marks_total", "outcome" => "never_echoed").increment(lost as u64);
        }
        self.write(Message::Text(text)).await
    }

    async fn ping(&mut self) -> Result<(), StreamEnd> {
        let payload = self.pings.next(pipeline::now());
        self.write(Message::Ping(payload.to_vec().into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), StreamEnd> {
        in_time(self.sink.send(message)).await
    }

    /// Leaves a message with the WebSocket layer: the next that is written takes it along.
    async fn feed(&mut self, message: Message) -> Result<(), StreamEnd> {
        in_time(self.sink.feed(message)).await
    }

    fn tell(&self, event: MediaEvent) {
        if self.events.try_send(event).is_err() {
            dropped("event");
        }
    }
}

/// What is to leave does so, or the stream is over.
async fn in_time(leaves: impl Future<Output = Result<(), Error>>) -> Result<(), StreamEnd> {
    match timeout(WRITE_TIMEOUT, leaves).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(StreamEnd::Reset),
        Err(_) => Err(StreamEnd::SlowPeer),
    }
}

/// Resolves at `at`; never without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
