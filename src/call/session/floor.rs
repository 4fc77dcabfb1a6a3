//! Who has the floor: what of ARIA may still sound, whether the caller speaks, and what his voice does to hers. Pure.

use std::time::{Duration, Instant};

use super::Barge;

/// How long a reply may still sound at Twilio after the server has sent it all: our rings, the network and Twilio's queue.
const DRAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
enum Speaking {
    On,
    Until(Instant),
}

/// What the caller's voice did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing that sounds was touched.
    Heard,
    /// What may still sound is dropped. `cut_off`: she was in the middle of it.
    Interrupts { cut_off: bool },
    /// She pauses.
    Holds,
}

/// Who speaks.
#[derive(Debug)]
pub(super) struct Floor {
    barge: Barge,
    speaking: Option<Speaking>,
    muted: bool,
    caller: bool,
    /// Since when she pauses for what may be a cough.
    held: Option<Instant>,
    generation: u32,
}

impl Floor {
    pub fn new(barge: Barge) -> Self {
        Self { barge, speaking: None, muted: false, caller: false, held: None, generation: 0 }
    }

    /// The caller began to speak. `coming`: a reply is being made that does not sound yet.
    pub fn caller_began(&mut self, now: Instant, coming: bool) -> Voice {
        self.caller = true;
        let sounding = self.is_sounding(now);
        match self.barge {
            Barge::Never => Voice::Heard,
            Barge::Confirm { .. } if sounding || coming => {
                self.held.get_or_insert(now);
                Voice::Holds
            }
            Barge::Confirm { .. } => Voice::Heard,
            Barge::Always => {
                self.cut(now, coming).map_or(Voice::Heard, |cut_off| Voice::Interrupts { cut_off })
            }
        }
    }

    /// The caller stopped. Whether it was a cough in her pause: she may go on.
    pub fn caller_ended(&mut self, now: Instant) -> bool {
        self.caller = false;
        self.resume(now)
    }

    /// Her pause is over. Whether there was one; what was kept back sounds later by its length.
    fn resume(&mut self, now: Instant) -> bool {
        let Some(since) = self.held.take() else { return false };
        if let Some(Speaking::Until(over)) = &mut self.speaking {
            *over += now.saturating_duration_since(since);
        }
        true
    }

    /// Whether her pause has been long enough: it was no cough.
    pub fn confirms(&mut self, now: Instant) -> bool {
        self.confirm_at().is_some_and(|at| now >= at) && self.resume(now)
    }

    /// When [`Self::confirms`] wants to be asked.
    pub fn confirm_at(&self) -> Option<Instant> {
        match self.barge {
            Barge::Confirm { after } => self.held.map(|since| since + after),
            _ => None,
        }
    }

    /// Everything that has not sounded yet is dropped, if there is any: whether she was in the middle of it. `coming`: a reply is being
    /// made that may have begun to sound unnoticed.
    pub fn cut(&mut self, now: Instant, coming: bool) -> Option<bool> {
        let cut_off = match self.speaking.take() {
            None if coming => false,
            None => return None,
            Some(Speaking::Until(over)) if now >= over => return None,
            // The server has said it all and believes it heard: what is dropped is a rest, if anything.
            Some(Speaking::Until(_)) => false,
            Some(Speaking::On) => true,
        };
        self.held = None;
        self.muted = true;
        self.generation += 1;
        Some(cut_off)
    }

    /// The next reply may sound. Whether it was not allowed before.
    pub fn open(&mut self) -> bool {
        std::mem::take(&mut self.muted)
    }

    /// Whether nothing may sound until [`Self::open`].
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// A reply begins to sound.
    pub fn begins(&mut self) {
        self.speaking = Some(Speaking::On);
    }

    /// The server has sent it all.
    pub fn sent(&mut self, now: Instant) {
        if self.speaking.is_some() {
            self.speaking = Some(Speaking::Until(now + DRAIN));
        }
    }

    /// The session is gone, and with it what it had not sent. Whether she was in the middle of it.
    pub fn broke_off(&mut self, now: Instant) -> bool {
        let mid = matches!(self.speaking, Some(Speaking::On));
        self.held = None;
        self.caller = false;
        self.sent(now);
        mid
    }

    /// A new session's sound follows, whatever the old one's was: the generation it belongs to.
    pub fn renew(&mut self) -> u32 {
        self.speaking = None;
        self.muted = false;
        self.generation += 1;
        self.generation
    }

    /// Whether something of her may still be heard.
    pub fn is_sounding(&self, now: Instant) -> bool {
        match self.speaking {
            None => false,
            Some(Speaking::On) => true,
            Some(Speaking::Until(over)) => now < over,
        }
    }

    /// Lets the time pass: what was sent has sounded.
    pub fn settle(&mut self, now: Instant) {
        if self.held.is_none() && !self.is_sounding(now) {
            self.speaking = None;
        }
    }

    /// When what was sent will have sounded.
    pub fn quiet_at(&self) -> Option<Instant> {
        match self.speaking {
            Some(Speaking::Until(over)) => Some(over),
            _ => None,
        }
    }

    /// Whether the caller speaks.
    pub fn caller(&self) -> bool {
        self.caller
    }

    /// Of the frames that may sound.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether the bridge asks for every response itself: the server may neither answer nor stop by its own judgement.
    pub fn asks(&self) -> bool {
        self.barge != Barge::Always
    }

    /// From now on nothing that is heard stops her.
    pub fn deafen(&mut self) {
        self.barge = Barge::Never;
        self.caller = false;
    }
}
