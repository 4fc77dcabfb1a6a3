//! An open media stream: each beat, each message of the bridge, and the faults that befall it.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::call::{Call, Next, Wake};
use super::faults::{RawMessage, StreamFault, When};
use super::g711;
use super::message::StreamIds;
use super::playback::{FRAME, Playback};
use super::report::{Arrival, Mark};
use super::socket::{Reader, Wire};
use super::timeline::Moment;
use super::twiml::{self, Stream};
use super::uplink::Uplink;
use super::validator::{self, Incoming, ViolationKind};

/// A stream that is open.
pub(super) struct Open {
    pub(super) ids: StreamIds,
    pub(super) noun: Stream,
    pub(super) wire: Wire,
    pub(super) reader: Reader,
    pub(super) uplink: Uplink,
    pub(super) playback: Playback,
    pub(super) zero: Instant,
    /// When the beat that sounds now was due.
    pub(super) beat: Instant,
    /// How late it came.
    pub(super) beat_late: Duration,
    pub(super) first_media: Instant,
    pub(super) sent_media: bool,
    /// Frames said by the tap.
    pub(super) tapped: u64,
    pub(super) got_audio: bool,
    /// Neither reads nor writes any more, and leaves the socket open.
    pub(super) half_open: bool,
    /// Does not read until then.
    pub(super) deaf_until: Option<Instant>,
    pub(super) faults: Vec<StreamFault>,
}

/// How a stream went on after a wake-up.
pub(super) enum Course {
    Goes,
    /// The bridge or the network ended it.
    Lost {
        code: u16,
        reason: String,
    },
    /// The connection is to be reset.
    Reset,
    /// Twilio gives it up with an error of its own.
    Abandoned,
    /// The call goes elsewhere.
    Leaves(Next),
}

impl Call {
    pub(super) async fn step(&mut self, open: &mut Open) -> Course {
        let deaf = open.half_open || open.deaf_until.is_some_and(|until| Instant::now() < until);
        let woken =
            if deaf { self.wake(std::future::pending()).await } else { self.wake(open.reader.next()).await };
        match woken {
            Wake::Beat(beat) => {
                open.beat = beat.due;
                open.beat_late = beat.due.elapsed();
                let mut bytes = [0; FRAME];
                let (marks, _) = open.playback.tick(&mut bytes);
                let (turn, next) = self.turn(beat, &bytes.map(g711::decode));
                if let Some(next) = next {
                    return Course::Leaves(next);
                }
                let now = turn.due.saturating_duration_since(open.zero);
                if !open.half_open {
                    for name in marks {
                        self.echo(open, now, &name, false);
                    }
                    if let Some(digit) = turn.digit {
                        let messages = open.uplink.dtmf(now, digit);
                        messages.into_iter().for_each(|m| open.wire.text(m, None));
                    }
                    self.inject(open, |when| matches!(when, When::At(at) if at <= now));
                    if turn.due >= open.first_media {
                        self.send_media(open, now, turn.spoken, turn.due);
                    }
                }
                self.check_framing(open);
                self.strike(open, now)
            }
            Wake::Command(command) => Course::Leaves(self.command(command)),
            Wake::Done(None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))) => {
                Course::Lost { code: 1_006, reason: "the connection ended".into() }
            }
            Wake::Done(Some(Err(error))) => {
                if let Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_) = &error {
                    self.violate(ViolationKind::Framing, error.to_string());
                }
                Course::Lost { code: 1_006, reason: error.to_string() }
            }
            Wake::Done(Some(Ok(message))) => self.receive(open, message),
        }
    }

    fn send_media(&mut self, open: &mut Open, now: Duration, spoken: Option<[i16; FRAME]>, due: Instant) {
        let tap = self.set.plan.tap.clone();
        let frame = open.tapped;
        let messages = match spoken {
            Some(_) if let Some(tap) = &tap => {
                open.tapped += 1;
                open.uplink.media(now, &tap.say(frame))
            }
            Some(samples) => open.uplink.media(now, &samples.map(g711::encode)),
            None => open.uplink.silent(now),
        };
        if !open.sent_media {
            open.sent_media = true;
            self.set.diary.now(Moment::FirstMediaSent);
            self.begin();
        }
        // What was held back on purpose says nothing about our punctuality.
        let due = (messages.len() == 1).then_some(due);
        let tapped = tap.is_some().then_some(frame);
        messages.into_iter().for_each(|m| open.wire.media(m, due, tapped));
    }

    /// The faults that end or cripple the stream.
    fn strike(&mut self, open: &mut Open, now: Duration) -> Course {
        let mut course = Course::Goes;
        let struck = |at: &Duration| *at <= now;
        let due: Vec<StreamFault> = open
            .faults
            .extract_if(.., |f| match f {
                StreamFault::HalfOpen { at }
                | StreamFault::Reset { at }
                | StreamFault::ProtocolError { at }
                | StreamFault::SlowReader { at, .. } => struck(at),
                _ => false,
            })
            .collect();
        for fault in due {
            let name = match fault {
                StreamFault::HalfOpen { .. } => {
                    open.half_open = true;
                    "half-open"
                }
                StreamFault::SlowReader { at, lasting } => {
                    open.deaf_until = Some(open.zero + at + lasting);
                    "slow reader"
                }
                StreamFault::Reset { .. } => {
                    course = Course::Reset;
                    "reset"
                }
                _ => {
                    course = Course::Abandoned;
                    "protocol error"
                }
            };
            self.set.diary.now(Moment::Fault(name));
        }
        course
    }

    pub(super) fn inject(&mut self, open: &mut Open, due: impl Fn(When) -> bool) {
        let raws: Vec<StreamFault> = open
            .faults
            .extract_if(.., |f| matches!(f, StreamFault::Raw { when, .. } if due(*when)))
            .collect();
        for fault in raws {
            if let StreamFault::Raw { message, .. } = fault {
                self.set.diary.now(Moment::Fault("raw message"));
                let message = match message {
                    RawMessage::Text(text) => RawMessage::Text(fill_in(text, open)),
                    other => other,
                };
                open.wire.raw(message);
            }
        }
    }

    fn receive(&mut self, open: &mut Open, message: Message) -> Course {
        let instant = Instant::now();
        let at = self.set.diary.since(instant);
        let verdict = match message {
            Message::Text(text) => validator::read_text(&text, &open.ids.stream),
            Message::Binary(bytes) => validator::read_binary(bytes.len()),
            Message::Close(frame) => {
                let (code, reason) =
                    frame.map_or((1_005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                return Course::Lost { code, reason };
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Course::Goes,
        };
        for (kind, detail) in verdict.violations {
            self.violate(kind, detail);
        }
        self.check_framing(open);
        match verdict.incoming {
            None => {}
            Some(Incoming::Media(bytes)) => {
                if !open.got_audio {
                    open.got_audio = true;
                    self.set.diary.at(at, Moment::FirstAudio);
                }
                match &self.set.plan.tap {
                    Some(tap) => tap.arrived(&bytes, instant),
                    None => self.notes.arrivals.push(Arrival {
                        at,
                        bytes: bytes.len(),
                        queued_bytes: open.playback.queued_bytes(),
                        ahead: open.playback.ahead(instant.saturating_duration_since(open.beat)),
                        beat_late: open.beat_late,
                    }),
                }
                if open.playback.push_audio(bytes).is_some_and(|o| o.first) {
                    self.warn(twiml::Warning::new(31_931, "more than ten minutes of audio are waiting"));
                }
            }
            Some(Incoming::Mark(name)) => {
                if self.set.plan.tap.is_none() {
                    self.notes.marks.push(Mark {
                        name: name.clone(),
                        received: at,
                        echoed: None,
                        cleared: false,
                    });
                }
                if let Some(name) = open.playback.push_mark(name) {
                    self.echo(open, instant.saturating_duration_since(open.zero), &name, false);
                }
            }
            Some(Incoming::Clear) => {
                let (discarded, marks) = open.playback.clear();
                if let Some(tap) = &self.set.plan.tap {
                    tap.cleared(discarded, instant);
                }
                self.set
                    .diary
                    .at(at, Moment::Clear { discarded: Duration::from_micros(discarded as u64 * 125) });
                for name in marks {
                    self.echo(open, instant.saturating_duration_since(open.zero), &name, true);
                }
            }
        }
        Course::Goes
    }

    fn echo(&mut self, open: &mut Open, now: Duration, name: &str, cleared: bool) {
        if self.set.plan.tap.is_some() {
            open.uplink.mark(now, name).into_iter().for_each(|m| open.wire.text(m, None));
            return;
        }
        let at = self.set.diary.since(Instant::now());
        if let Some(mark) = self.notes.marks.iter_mut().find(|m| m.echoed.is_none() && m.name == name) {
            (mark.echoed, mark.cleared) = (Some(at), cleared);
        }
        self.set.diary.at(at, Moment::MarkEchoed(name.to_owned()));
        open.uplink.mark(now, name).into_iter().for_each(|m| open.wire.text(m, None));
    }

    pub(super) fn check_framing(&mut self, open: &Open) {
        for (kind, detail) in open.wire.findings() {
            self.violate(kind, detail);
        }
    }
}

fn fill_in(text: String, open: &Open) -> String {
    let token = open.noun.parameters.iter().find(|(n, _)| n == "token").map_or("", |(_, v)| v);
    text.replace("{streamSid}", &open.ids.stream)
        .replace("{callSid}", &open.ids.call)
        .replace("{accountSid}", &open.ids.account)
        .replace("{token}", token)
}
