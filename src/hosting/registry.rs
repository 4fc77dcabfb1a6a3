//! The calls that are here and, for a while, those that were: by Twilio's `CallSid`.
//!
//! A webhook may come twice (Twilio retries, attackers replay). The first one begins the call, every further one gets the same
//! bytes. That holds while the call lives and for [`REMEMBER_FOR`] after it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::admission::{Admission, Refusal};
use super::line::Line;
use super::ringing::Ringing;
use super::token::{TokenError, Tokens};
use crate::call::{CallEnd, Snapshot, Sound};
use crate::twilio::twiml;
use crate::twilio::wire::Start;

/// How long a call is remembered after its end.
pub const REMEMBER_FOR: Duration = Duration::from_secs(3600);
/// How many ended or refused calls are remembered. Beyond it the oldest is forgotten.
pub const MAX_REMEMBERED: usize = 1000;
/// New streams a call may get for ones that broke: what happens once an hour is mended, what happens again and again is not.
pub const MAX_RECONNECTS: u32 = 5;

/// A webhook, as far as it tells one call from another.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// `CA…`.
    pub call_sid: &'a str,
    /// `AC…`.
    pub account_sid: &'a str,
    /// `I-Twilio-Idempotency-Token`: the same on every retry of one webhook.
    pub idempotency: Option<&'a str>,
}

/// What became of a webhook.
pub enum Admitted {
    /// A call began: watch its end and tell [`Registry::finish`].
    Begun(Arc<dyn Line>),
    /// It was here before.
    Repeated,
    /// There was no room.
    Refused(Refusal),
}

/// A media stream that has proved to be its call's.
pub struct Claim {
    /// The call.
    pub line: Arc<dyn Line>,
    /// Notified when the stream is known to be dead from elsewhere: close the socket.
    pub cancelled: Arc<Notify>,
}

/// Why a media stream is not its call's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The call is over.
    #[error("the call is over")]
    Ended,
}

/// How a call stands when Twilio asks what to do next.
pub enum Standing {
    /// Never heard of, or forgotten.
    Unknown,
    /// It was refused at the door.
    Refused,
    /// It lives.
    Live {
        /// The call.
        line: Arc<dyn Line>,
        /// We closed its last stream ourselves, so it is about to end.
        closed_by_us: bool,
    },
    /// It is over.
    Ended(CallEnd),
}

struct Entry {
    account_sid: String,
    idempotency: Option<String>,
    answer: Bytes,
    state: State,
    reconnects: u32,
    stream: Option<Stream>,
    closed_by_us: bool,
}

enum State {
    /// We have called, nobody has answered.
    Ringing(Arc<Ringing>),
    Live(Arc<dyn Line>),
    // Boxed, and without the call's channels: a thousand of these are kept.
    Ended(CallEnd, Box<Snapshot>),
    Refused,
}

struct Stream {
    sid: String,
    cancelled: Arc<Notify>,
}

struct Inner {
    admission: Admission,
    entries: HashMap<String, Entry>,
    /// Idempotency token to `CallSid`.
    retries: HashMap<String, String>,
    /// Ended and refused calls, the longest over first.
    over: VecDeque<(Instant, String)>,
    /// Ringing calls are among them.
    live: usize,
    /// Rooms kept for calls that are being placed.
    reserved: usize,
}

/// Room for a call that is being placed. Dropping it gives the room back.
pub struct Reservation(Arc<Registry>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.lock().reserved -= 1;
    }
}

/// All calls of this process.
pub struct Registry {
    inner: Mutex<Inner>,
    tokens: Tokens,
    live: watch::Sender<usize>,
    started: Instant,
}

impl Registry {
    /// An empty house with room for `max_calls`.
    pub fn new(max_calls: usize, calls_per_second: u32) -> Self {
        let inner = Inner {
            admission: Admission::new(max_calls, calls_per_second),
            entries: HashMap::new(),
            retries: HashMap::new(),
            over: VecDeque::new(),
            live: 0,
            reserved: 0,
        };
        Self {
            inner: Mutex::new(inner),
            tokens: Tokens::default(),
            live: watch::Sender::new(0),
            started: Instant::now(),
        }
    }

    /// Answers a webhook. `begin` is called at most once per call, under the lock, and must not wait; `connect` makes its TwiML
    /// from a fresh token, `refuse` the TwiML where there is no room.
    pub fn admit(
        &self,
        arrival: Arrival<'_>,
        now: Instant,
        begin: impl FnOnce() -> Arc<dyn Line>,
        connect: impl FnOnce(&str) -> String,
        refuse: impl FnOnce(Refusal) -> String,
    ) -> (Bytes, Admitted) {
        let mut inner = self.lock();
        inner.forget(now);
        let known = inner.entries.get(arrival.call_sid).or_else(|| {
            let retried = inner.retries.get(arrival.idempotency?)?;
            // A token is one account's; another account cannot have its answer.
            inner.entries.get(retried).filter(|entry| entry.account_sid == arrival.account_sid)
        });
        let answered = match known {
            // It was let in when it was placed.
            Some(Entry { state: State::Ringing(ringing), .. }) if ringing.answer() => true,
            Some(entry) => return (entry.answer.clone(), Admitted::Repeated),
            None => false,
        };

        let held = inner.live + inner.reserved;
        let passed = now.saturating_duration_since(self.started);
        let admitted = if answered { Ok(()) } else { inner.admission.admit(held, passed) };
        let (answer, state, admitted) = match admitted {
            Ok(()) => {
                let line = begin();
                let token = self.tokens.issue(arrival.call_sid, arrival.account_sid, now);
                inner.live += usize::from(!answered);
                (connect(&token), State::Live(line.clone()), Admitted::Begun(line))
            }
            Err(refusal) => (refuse(refusal), State::Refused, Admitted::Refused(refusal)),
        };
        let answer = Bytes::from(answer);
        let call_sid = arrival.call_sid.to_owned();
        if let Some(token) = arrival.idempotency {
            inner.retries.insert(token.to_owned(), call_sid.clone());
        }
        if matches!(state, State::Refused) {
            inner.over.push_back((now, call_sid.clone()));
        }
        let entry = Entry {
            account_sid: arrival.account_sid.to_owned(),
            idempotency: arrival.idempotency.map(str::to_owned),
            answer: answer.clone(),
            state,
            reconnects: 0,
            stream: None,
            closed_by_us: false,
        };
        inner.entries.insert(call_sid, entry);
        self.live.send_replace(inner.live);
        (answer, admitted)
    }

    /// Keeps room for a call that is about to be placed.
    pub fn reserve(self: &Arc<Self>, now: Instant) -> Result<Reservation, Refusal> {
        let mut inner = self.lock();
        let held = inner.live + inner.reserved;
        inner.admission.admit(held, now.saturating_duration_since(self.started))?;
        inner.reserved += 1;
        drop(inner);
        Ok(Reservation(self.clone()))
    }

    /// Enters a call that was placed: it takes the reserved room until it is answered or over. Whether it is new: it may have been
    /// answered before Twilio told us its name.
    pub fn ring(&self, reservation: Reservation, ringing: Arc<Ringing>) -> bool {
        let mut inner = self.lock();
        let call_sid = ringing.call_sid().to_owned();
        let new = !inner.entries.contains_key(&call_sid);
        if new {
            let entry = Entry {
                account_sid: ringing.account_sid().to_owned(),
                idempotency: None,
                // For a webhook that comes when it is over.
                answer: Bytes::from(twiml::hang_up()),
                state: State::Ringing(ringing),
                reconnects: 0,
                stream: None,
                closed_by_us: false,
            };
            inner.entries.insert(call_sid, entry);
            inner.live += 1;
            self.live.send_replace(inner.live);
        }
        drop(inner);
        drop(reservation);
        new
    }

    /// Uses up the token of a stream's `start` and makes the stream its call's current one.
    pub fn claim(&self, token: &str, start: &Start, now: Instant) -> Result<Claim, ClaimError> {
        self.tokens.redeem(token, &start.call_sid, &start.account_sid, now)?;
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(&start.call_sid).ok_or(ClaimError::Ended)?;
        let State::Live(line) = &entry.state else { return Err(ClaimError::Ended) };
        let line = line.clone();
        let cancelled = Arc::new(Notify::new());
        if let Some(old) =
            entry.stream.replace(Stream { sid: start.stream_sid.clone(), cancelled: cancelled.clone() })
        {
            old.cancelled.notify_one();
        }
        entry.closed_by_us = false;
        Ok(Claim { line, cancelled })
    }

    /// Notes that a stream is gone. `by_us`: our side closed it because the call is ending.
    pub fn stream_closed(&self, call_sid: &str, stream_sid: &str, by_us: bool) {
        if let Some(entry) = self.lock().entries.get_mut(call_sid)
            && entry.stream.as_ref().is_some_and(|stream| stream.sid == stream_sid)
        {
            entry.stream = None;
            entry.closed_by_us = by_us;
        }
    }

    /// Closes the socket of a stream that Twilio says has failed. Whether there was one.
    pub fn stream_failed(&self, call_sid: &str, stream_sid: Option<&str>) -> bool {
        let inner = self.lock();
        let stream = inner.entries.get(call_sid).and_then(|entry| entry.stream.as_ref());
        match stream {
            Some(stream) if stream_sid.is_none_or(|sid| sid == stream.sid) => {
                stream.cancelled.notify_one();
                true
            }
            _ => false,
        }
    }

    /// How a call stands.
    pub fn standing(&self, call_sid: &str) -> Standing {
        match self.lock().entries.get(call_sid) {
            None => Standing::Unknown,
            Some(entry) => match &entry.state {
                State::Ringing(line) => match line.is_ended() {
                    Some(end) => Standing::Ended(end),
                    None => Standing::Live { line: line.clone(), closed_by_us: false },
                },
                State::Live(line) => match line.is_ended() {
                    Some(end) => Standing::Ended(end),
                    None => Standing::Live { line: line.clone(), closed_by_us: entry.closed_by_us },
                },
                State::Ended(end, _) => Standing::Ended(*end),
                State::Refused => Standing::Refused,
            },
        }
    }

    /// A token for another stream of a living call, if it may still have one. Whatever is left of the old stream is closed.
    pub fn reconnect(&self, call_sid: &str, now: Instant) -> Option<String> {
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(call_sid)?;
        if entry.reconnects >= MAX_RECONNECTS {
            return None;
        }
        entry.reconnects += 1;
        drop(inner);
        self.resume(call_sid, now)
    }

    /// A token for the stream of a living call whose caller comes back. Whatever is left of the old stream is closed.
    pub fn resume(&self, call_sid: &str, now: Instant) -> Option<String> {
        let mut inner = self.lock();
        let entry = inner.entries.get_mut(call_sid)?;
        if !matches!(entry.state, State::Live(_)) {
            return None;
        }
        if let Some(old) = entry.stream.take() {
            old.cancelled.notify_one();
        }
        Some(self.tokens.issue(call_sid, &entry.account_sid, now))
    }

    /// Notes a call's end: its room is free, its answer stays known for a while.
    pub fn finish(&self, call_sid: &str, end: CallEnd, snapshot: Snapshot, now: Instant) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(call_sid) else { return };
        if !matches!(entry.state, State::Live(_) | State::Ringing(_)) {
            return;
        }
        entry.state = State::Ended(end, Box::new(snapshot));
        if let Some(stream) = entry.stream.take() {
            stream.cancelled.notify_one();
        }
        inner.live -= 1;
        inner.over.push_back((now, call_sid.to_owned()));
        inner.forget(now);
        self.live.send_replace(inner.live);
    }

    /// Living calls.
    pub fn live(&self) -> usize {
        *self.live.borrow()
    }

    /// Whether the door is open.
    pub fn open(&self) -> Result<(), Refusal> {
        let inner = self.lock();
        inner.admission.open(inner.live + inner.reserved)
    }

    /// Notes whether records can be kept: no call begins while they cannot.
    pub fn recording(&self, recording: bool) {
        self.lock().admission.recording(recording);
    }

    /// Shuts the door for good; living calls go on.
    pub fn drain(&self) {
        self.lock().admission.drain();
    }

    /// Resolves when no call is here.
    pub async fn empty(&self) {
        // The sender lives as long as `self`.
        let _ = self.live.subscribe().wait_for(|live| *live == 0).await;
    }

    /// Ends all living calls; how many they are.
    pub fn end_all(&self, reason: CallEnd) -> usize {
        let lines: Vec<_> = self.lock().lines().collect();
        lines.iter().for_each(|line| line.end(reason));
        lines.len()
    }

    /// The living call of this id.
    pub fn line(&self, call_sid: &str) -> Option<Arc<dyn Line>> {
        match self.standing(call_sid) {
            Standing::Live { line, .. } => Some(line),
            _ => None,
        }
    }

    /// One call as it stands or ended.
    pub fn snapshot(&self, call_sid: &str) -> Option<Snapshot> {
        let line: Arc<dyn Line> = match &self.lock().entries.get(call_sid)?.state {
            State::Ringing(line) => line.clone(),
            State::Live(line) => line.clone(),
            State::Ended(_, snapshot) => return Some(Snapshot::clone(snapshot)),
            State::Refused => return None,
        };
        Some(line.snapshot())
    }

    /// Living calls in no order, then those that ended, the latest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let (lines, ended) = {
            let inner = self.lock();
            let ended = inner.over.iter().rev().filter_map(|(_, sid)| match &inner.entries.get(sid)?.state {
                State::Ended(_, snapshot) => Some(Snapshot::clone(snapshot)),
                _ => None,
            });
            (inner.lines().collect::<Vec<_>>(), ended.collect::<Vec<_>>())
        };
        lines.iter().map(|line| line.snapshot()).chain(ended).collect()
    }

    /// The sound of the living calls that have a stream, by their ids, in no order.
    pub fn sounds(&self) -> Vec<(String, Sound)> {
        let inner = self.lock();
        let live = inner.entries.iter().filter_map(|(sid, entry)| match &entry.state {
            State::Live(line) => Some((sid.clone(), line.sound()?)),
            _ => None,
        });
        live.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic of `begin` leaves behind is whole: nothing is changed before it.
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Inner {
    fn lines(&self) -> impl Iterator<Item = Arc<dyn Line>> {
        self.entries.values().filter_map(|entry| match &entry.state {
            State::Ringing(line) => Some(line.clone() as Arc<dyn Line>),
            State::Live(line) => Some(line.clone()),
            _ => None,
        })
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.over.front() {
            if self.over.len() <= MAX_REMEMBERED && now.saturating_duration_since(*at) <= REMEMBER_FOR {
                break;
            }
            let entry = self.over.pop_front().and_then(|(_, call_sid)| self.entries.remove(&call_sid));
            if let Some(token) = entry.and_then(|entry| entry.idempotency) {
                self.retries.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests;
