//! The telephone line of one call: the beat, what the caller says and hears, on one axis from the answer on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::ear::{Ear, Heard};
use super::pacer::{BEAT, Beat};
use super::playback::FRAME;
use super::script::{Caller, CallerFrame};
use super::tap::Tap;
use super::timeline::{Diary, Moment};

/// What a beat brought.
pub(crate) struct Turn {
    /// When it was due.
    pub(crate) due: Instant,
    /// What the caller said in the 20 ms before it; nothing if the line was muted.
    pub(crate) spoken: Option<[i16; FRAME]>,
    pub(crate) digit: Option<char>,
    pub(crate) hang_up: bool,
}

/// The line of an answered call.
pub(crate) struct Line {
    pub(crate) beats: mpsc::Receiver<Beat>,
    diary: Arc<Diary>,
    /// The answer, since the first webhook.
    pub(crate) answered: Duration,
    next: u64,
    pub(crate) missed: u64,
    pub(crate) caller: Caller,
    begun: bool,
    /// A measurement speaks and listens in the caller's place: nothing is kept and nobody listens for speech.
    tap: Option<Arc<dyn Tap>>,
    /// What is being said since the last beat; it can be sent when it is complete.
    pending: CallerFrame,
    ear: Ear,
    mouth: Ear,
    pub(crate) said: Vec<i16>,
    pub(crate) heard: Vec<i16>,
}

impl Line {
    pub(crate) fn new(
        beats: mpsc::Receiver<Beat>,
        diary: Arc<Diary>,
        answered: Duration,
        caller: Caller,
        tap: Option<Arc<dyn Tap>>,
    ) -> Self {
        Self {
            beats,
            diary,
            answered,
            next: 0,
            missed: 0,
            caller,
            tap,
            begun: false,
            pending: CallerFrame::default(),
            ear: Ear::default(),
            mouth: Ear::default(),
            said: vec![],
            heard: vec![],
        }
    }

    /// Lets the script begin, if it has not.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// How long the call has been answered.
    pub(crate) fn length(&self) -> Duration {
        BEAT * u32::try_from(self.next).unwrap_or(u32::MAX)
    }

    /// A beat: `hear` sounds from now on for 20 ms.
    pub(crate) fn turn(&mut self, beat: Beat, hear: &[i16; FRAME]) -> Turn {
        if let Some(tap) = &self.tap {
            self.missed += beat.index - self.next;
            self.next = beat.index + 1;
            return Turn { due: beat.due, spoken: Some([0; FRAME]), digit: None, hang_up: tap.hangs_up() };
        }
        if beat.index > self.next {
            // Beats nobody took: time passed in silence.
            let frames = beat.index - self.next;
            self.missed += frames;
            self.said.resize(self.said.len() + frames as usize * FRAME, 0);
            self.heard.resize(self.said.len(), 0);
        }
        self.next = beat.index + 1;
        let now = BEAT * u32::try_from(beat.index).unwrap_or(u32::MAX);
        let frame = if self.begun { self.caller.tick(now, &self.ear) } else { CallerFrame::default() };
        let said = frame.samples.unwrap_or([0; FRAME]);
        self.said.extend_from_slice(&said);
        self.heard.extend_from_slice(hear);
        self.note(now, &frame);
        let (heard, spoke) = (self.ear.hear(now, hear), self.mouth.hear(now, &said));
        self.note_voice(heard, Moment::HeardOn, Moment::HeardOff);
        self.note_voice(spoke, Moment::SaidOn, Moment::SaidOff);
        let (digit, hang_up) = (frame.digit, frame.hang_up);
        let complete = std::mem::replace(&mut self.pending, frame);
        let spoken = (!complete.muted).then(|| complete.samples.unwrap_or([0; FRAME]));
        Turn { due: beat.due, spoken, digit, hang_up }
    }

    fn note_voice(&self, change: Option<Heard>, on: Moment, off: Moment) {
        match change {
            Some(Heard::On(at)) => self.diary.at(self.answered + at, on),
            Some(Heard::Off(at)) => self.diary.at(self.answered + at, off),
            None => {}
        }
    }

    fn note(&self, now: Duration, frame: &CallerFrame) {
        let at = self.answered + now;
        for (index, what) in &frame.began {
            self.diary.at(at, Moment::Step { index: *index, what: what.clone() });
        }
        for index in &frame.timed_out {
            self.diary.at(at, Moment::StepTimedOut { index: *index });
        }
        if let Some((index, why)) = &frame.failed {
            self.diary.at(at, Moment::StepFailed { index: *index, why: why.clone() });
        }
        if frame.digit.is_some() {
            self.diary.at(at, Moment::Dtmf);
        }
    }
}
