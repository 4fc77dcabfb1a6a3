//! The reply's playout: what the server's output buffer does over WebRTC. Pure: sound, events and the time go in, frames and what is to be
//! told come out.
//!
//! The server sends a reply faster than it can be heard. It is held here and leaves at the pace of speech, a little ahead of it, so that
//! what is dropped when the caller interrupts is dropped here, and how much was heard is known.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::held::{BYTES_PER_MS, FRAME_BYTES, Held};

/// How far ahead of its time a frame is given to the rings: what a late timer may cost. More is no reserve, because the jitter buffer takes
/// out of the sound what waits too long: with 60 ms the caller had heard 52 ms more than the clock says, with 20 ms it is 8 ms less.
pub const LEAD: Duration = Duration::from_millis(20);
/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);
/// Sound held at once: ten minutes, longer than any reply that a caller sits through. What comes beyond it is dropped and counted; the
/// model is told that it was not heard.
pub const MAX_HELD_BYTES: usize = 600_000 * BYTES_PER_MS;
/// A look that is later than this makes a pause in the reply; the burst after it would be longer than the rings.
const MAX_LATE: Duration = Duration::from_millis(500);
/// Responses under way at once: one of the conversation and some beside it. The oldest is forgotten first.
const MAX_RESPONSES: usize = 32;
/// Items with sound at once. Each response speaks one as a rule.
const MAX_ITEMS: usize = 64;

/// What leaves the playout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// A response begins to sound: before its first frame.
    Started {
        /// `resp_…`.
        response_id: String,
    },
    /// Its last frame has been given.
    Stopped {
        /// `resp_…`.
        response_id: String,
    },
    /// The rest of it was dropped.
    Cleared {
        /// `resp_…`.
        response_id: String,
    },
    /// A frame for the rings.
    Frame {
        /// 20 ms of mu-law.
        audio: [u8; FRAME_BYTES],
        /// The first of a response, or after a pause in one.
        first: bool,
    },
    /// Of this item only so much was heard.
    Truncate {
        /// The item.
        item_id: String,
        /// Milliseconds; less than what came of it.
        audio_end_ms: u64,
    },
}

#[derive(Debug)]
struct Response {
    id: String,
    in_conversation: bool,
    done: bool,
    /// The caller has interrupted since: what still comes of it is not heard.
    cut: bool,
}

/// One call's playout.
#[derive(Debug, Default)]
pub struct Playout {
    responses: VecDeque<Response>,
    /// Items that are to be played, the first one now.
    queue: VecDeque<Held>,
    /// Items of the response that sounds, or sounded last, of which everything was given: the end may not have been heard yet.
    given: Vec<Held>,
    /// The response that sounds.
    sounding: Option<String>,
    /// When the next frame is to be heard; `None` before the first.
    next: Option<Instant>,
    /// The last look found nothing to play: the next frame makes a new beginning.
    starved: bool,
    /// The server has cut the response that sounded; how much of it was heard by then, bytes.
    cut_at: Option<usize>,
    held_bytes: usize,
    dropped_bytes: u64,
    outs: VecDeque<Out>,
}

impl Playout {
    /// A response was created.
    pub fn handle_created(&mut self, response_id: String, in_conversation: bool) {
        // The call should have said what was heard of a cut reply; the model is about to go on without knowing.
        if let Some(heard) = self.cut_at.take() {
            self.truncate(heard);
        }
        if self.responses.len() >= MAX_RESPONSES {
            self.responses.pop_front();
        }
        self.responses.push_back(Response { id: response_id, in_conversation, done: false, cut: false });
    }

    /// Sound has come.
    pub fn handle_delta(&mut self, response_id: String, item_id: &str, audio: Vec<u8>) {
        let response = self.responses.iter().find(|r| r.id == response_id);
        if audio.is_empty() || response.is_some_and(|r| r.cut) {
            return;
        }
        let in_conversation = response.is_none_or(|r| r.in_conversation);
        let known = self.queue.iter().rposition(|held| held.item_id == item_id && !held.complete);
        let room = self.held_bytes + audio.len() <= MAX_HELD_BYTES;
        if !room || (known.is_none() && self.queue.len() >= MAX_ITEMS) {
            self.dropped_bytes += audio.len() as u64;
            return;
        }
        let index = known.unwrap_or_else(|| {
            self.queue.push_back(Held::new(response_id, item_id.to_owned(), in_conversation));
            self.queue.len() - 1
        });
        self.held_bytes += audio.len();
        self.queue[index].push(audio);
    }

    /// No more sound of an item comes.
    pub fn handle_audio_done(&mut self, item_id: &str) {
        self.queue.iter_mut().filter(|held| held.item_id == item_id).for_each(|held| held.complete = true);
    }

    /// A response is over, or `interrupted` by the caller's speech: then nothing more of it sounds, as over WebRTC.
    pub fn handle_done(&mut self, now: Instant, response_id: &str, interrupted: bool) {
        if let Some(response) = self.responses.iter_mut().find(|r| r.id == response_id) {
            response.done = true;
            response.cut |= interrupted;
        }
        let of_it = |held: &&mut Held| held.response_id == response_id;
        self.queue.iter_mut().filter(of_it).for_each(|held| held.complete = true);
        if interrupted {
            self.cut(now, response_id);
        }
        self.forget();
    }

    /// The server has cancelled a response. The call, which hears of it as well, says how much was heard.
    fn cut(&mut self, now: Instant, response_id: &str) {
        let heard = self.heard_bytes(now);
        let of_it = |held: &Held| held.response_id == response_id;
        let (mut cut, rest): (Vec<_>, Vec<_>) = self.queue.drain(..).partition(of_it);
        self.queue = rest.into();
        self.held_bytes -= cut.iter_mut().map(Held::drop_waiting).sum::<usize>();
        if self.sounding.take_if(|id| id == response_id).is_some() {
            // Kept until it is known how much was heard.
            self.given.append(&mut cut);
            self.cut_at = Some(heard);
            self.next = None;
            self.outs.push_back(Out::Cleared { response_id: response_id.to_owned() });
        } else {
            // Nothing of it was heard, and nobody will say so.
            cut.iter().for_each(|held| self.tell_heard(held, 0));
        }
    }

    /// The caller has interrupted: nothing of what has come may sound any more. `heard_ms` since the last [`Out::Started`], if the call
    /// knows.
    pub fn handle_interrupt(&mut self, now: Instant, heard_ms: Option<u32>) {
        let reckoned = self.cut_at.take().unwrap_or_else(|| self.heard_bytes(now));
        let heard = heard_ms.map_or(reckoned, |ms| ms as usize * BYTES_PER_MS);
        if let Some(response_id) = self.sounding.take() {
            self.outs.push_back(Out::Cleared { response_id });
        }
        self.given.extend(self.queue.drain(..));
        self.truncate(heard);
        self.held_bytes = 0;
        self.next = None;
        for response in &mut self.responses {
            response.cut = true;
        }
        self.forget();
    }

    /// Tells of the items in `given` what was heard of them, when `heard` bytes were heard of the response that sounded, and forgets them.
    fn truncate(&mut self, mut heard: usize) {
        for held in std::mem::take(&mut self.given) {
            // Nothing is heard that was not given.
            let of_it = heard.min(held.played());
            self.tell_heard(&held, of_it);
            heard -= of_it;
        }
    }

    fn tell_heard(&mut self, held: &Held, heard: usize) {
        let (heard_ms, received_ms) = (heard / BYTES_PER_MS, held.received() / BYTES_PER_MS);
        if held.in_conversation && heard_ms < received_ms {
            let (item_id, audio_end_ms) = (held.item_id.clone(), heard_ms as u64);
            self.outs.push_back(Out::Truncate { item_id, audio_end_ms });
        }
    }

    /// Bytes heard of the response that sounds or sounded last, if the caller hears each frame at its time.
    fn heard_bytes(&self, now: Instant) -> usize {
        let current = self.sounding.as_deref();
        let sounding = self.queue.iter().filter(|held| Some(held.response_id.as_str()) == current);
        let played: usize = self.given.iter().chain(sounding).map(Held::played).sum();
        let ahead = self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        played.saturating_sub(ahead.as_millis() as usize * BYTES_PER_MS)
    }

    /// Lets go of responses that are over and have nothing more to sound.
    fn forget(&mut self) {
        let (queue, sounding) = (&self.queue, &self.sounding);
        self.responses.retain(|r| {
            !r.done || sounding.as_ref() == Some(&r.id) || queue.iter().any(|held| held.response_id == r.id)
        });
    }

    /// When [`Self::poll`] has something that it has not now.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next.filter(|_| !self.starved)?;
        self.queue.front().filter(|held| held.has_frame() || held.complete)?;
        next.checked_sub(LEAD)
    }

    /// The next frame that is due, or what is to be told.
    pub fn poll(&mut self, now: Instant) -> Option<Out> {
        loop {
            if let Some(out) = self.outs.pop_front() {
                return Some(out);
            }
            let Some(head) = self.queue.front() else {
                self.starved = true;
                self.stop_if_over();
                if self.outs.is_empty() {
                    return None;
                }
                continue;
            };
            if !head.has_frame() {
                if !head.complete {
                    self.starved = true;
                    return None;
                }
                self.given.extend(self.queue.pop_front());
                continue;
            }
            // Who has had nothing to play begins anew; a look that came late leaves the beat as it is.
            let due = match self.next {
                Some(next) if next > now || (!self.starved && now - next < MAX_LATE) => next,
                _ => now,
            };
            if due > now + LEAD {
                self.next = Some(due);
                self.starved = false;
                return None;
            }
            let begins = self.sounding.as_ref() != Some(&head.response_id);
            if begins {
                self.begin();
                continue;
            }
            let first = std::mem::take(&mut self.starved) || self.is_first();
            self.next = Some(due + FRAME);
            let head = self.queue.front_mut()?;
            let (before, audio) = (head.waiting(), head.take_frame()?);
            self.held_bytes -= before - head.waiting();
            return Some(Out::Frame { audio, first });
        }
    }

    /// The response at the head of the queue begins to sound.
    fn begin(&mut self) {
        if let Some(response_id) = self.sounding.take() {
            self.outs.push_back(Out::Stopped { response_id });
        }
        self.given.clear();
        if let Some(head) = self.queue.front() {
            self.sounding = Some(head.response_id.clone());
            self.outs.push_back(Out::Started { response_id: head.response_id.clone() });
        }
    }

    /// Whether nothing of the sounding response has been played yet.
    fn is_first(&self) -> bool {
        self.given.is_empty() && self.queue.front().is_some_and(|held| held.played() == 0)
    }

    fn stop_if_over(&mut self) {
        let over = |id: &String| self.responses.iter().find(|r| r.id == *id).is_none_or(|r| r.done);
        if let Some(response_id) = self.sounding.take_if(|id| over(id)) {
            self.outs.push_back(Out::Stopped { response_id });
            self.forget();
        }
    }

    /// Bytes that came beyond [`MAX_HELD_BYTES`] since the last question.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_bytes)
    }
}

#[cfg(test)]
mod tests;
