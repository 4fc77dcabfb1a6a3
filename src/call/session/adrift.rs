//! Twilio's stream broke under a caller who may still be on the line: the call is kept until another stream comes.

use std::time::{Duration, Instant};

use super::{Action, Session, takeover};
use crate::call::{CallEnd, CallEvent, Clip};
use crate::openai::wire::ClientEvent;

/// How long a call is kept whose stream broke, until Twilio asks what to do. It asks as soon as it notices, if it is there. A stream that dies
/// without a word is noticed after 15 s (`twilio/media/watchdog`), and no call may outlive its phone by more than 20.
pub const STREAM_GRACE: Duration = Duration::from_secs(3);
/// How long it is kept once Twilio has been told to open another stream, which takes it a second or two.
pub const REOPEN_GRACE: Duration = Duration::from_secs(8);

/// No stream since `since`; the call ends at `until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adrift {
    pub since: Instant,
    pub until: Instant,
}

impl Session {
    /// The stream is gone without a word. What was being said is cut off: the server would take it for heard.
    pub(super) fn stream_lost(&mut self, now: Instant, grace: Duration) {
        if let Some(adrift) = &mut self.adrift {
            adrift.until = adrift.until.max(now + grace);
            return;
        }
        self.adrift = Some(Adrift { since: now, until: now + grace });
        self.media = false;
        self.waiting = None;
        match self.clip.take() {
            // It is played again, from its beginning.
            Some(Clip::Greeting) => self.greeted = false,
            Some(Clip::Wait) => self.cut_short = true,
            None => {}
        }
        if let Some(farewell) = &mut self.farewell {
            farewell.cut();
        }
        let making = self.replies.making().is_some();
        if let Some(cut_off) = self.floor.cut(now, making) {
            if cut_off {
                self.transcript.interrupt_last_reply();
            }
            self.cut_short |= cut_off || making;
            self.playout.cut(now);
            self.actions.push_back(Action::Interrupt { generation: self.floor.generation(), since: now });
            self.hush();
        }
    }

    /// The server stops what it is saying and making.
    pub(super) fn hush(&mut self) {
        if self.replies.making().is_some() {
            self.send(ClientEvent::ResponseCancel);
        }
        self.send(ClientEvent::OutputAudioClear);
    }

    /// A stream is there again.
    pub(super) fn stream_returned(&mut self, now: Instant, adrift: Adrift) {
        let gap_ms = now.saturating_duration_since(adrift.since).as_millis() as u64;
        let at_ms = self.ms(now);
        self.tell(CallEvent::StreamReturned { at_ms, gap_ms });
        // A session that is lost, too, is followed by one that goes on by itself.
        if !self.renewal.is_lost() && std::mem::take(&mut self.cut_short) {
            self.replies.want_turn(Some(takeover::GO_ON.into()));
        }
    }

    /// Nobody came back.
    pub(super) fn given_up(&self, now: Instant) -> Option<CallEnd> {
        self.adrift.filter(|adrift| now >= adrift.until).map(|_| CallEnd::StreamLost)
    }
}
