//! Tells a silent line from a dead one. Pure.
//!
//! Twilio sends a frame every 20 ms, but some calls fall silent while muted (DTX, SIP and WebRTC legs), and a killed stream was
//! seen to stay half-open for minutes with neither `stop` nor close. So silence alone is reported; only a peer that does not
//! answer a ping either is given up.

use std::time::Duration;

use pipeline::Nanos;

/// No media for so long: the call is told and the peer is asked with a ping.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);
/// Nothing at all for so long: the socket is dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Report and ping, once per silence.
    Stalled,
    /// Give the socket up.
    Dead,
}

/// One stream's watchdog.
#[derive(Debug)]
pub struct Watchdog {
    heard: Nanos,
    media: Nanos,
    stalled: bool,
}

impl Watchdog {
    /// Begins to watch at `now`.
    pub fn new(now: Nanos) -> Self {
        Self { heard: now, media: now, stalled: false }
    }

    /// Something came, whatever it was.
    pub fn heard(&mut self, now: Nanos) {
        self.heard = now;
    }

    /// Media came.
    pub fn media(&mut self, now: Nanos) {
        self.media = now;
        self.stalled = false;
    }

    /// To be asked about once a second.
    pub fn check(&mut self, now: Nanos) -> Verdict {
        if now.saturating_sub(self.heard) >= DEAD_AFTER {
            Verdict::Dead
        } else if !self.stalled && now.saturating_sub(self.media) >= STALLED_AFTER {
            self.stalled = true;
            Verdict::Stalled
        } else {
            Verdict::Fine
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos::from_millis(seconds * 1000)
    }

    #[test]
    fn a_dead_socket_is_probed_and_given_up() {
        let mut dog = Watchdog::new(at(0));
        dog.heard(at(1));
        dog.media(at(1));
        let verdicts: Vec<_> = (1..=16).map(|s| dog.check(at(s))).collect();
        assert_eq!(verdicts.iter().position(|v| *v == Verdict::Stalled), Some(5));
        assert_eq!(verdicts.iter().filter(|v| **v == Verdict::Stalled).count(), 1);
        assert_eq!(verdicts.iter().position(|v| *v == Verdict::Dead), Some(15));
    }

    #[test]
    fn a_muted_caller_whose_socket_answers_lives_on() {
        let mut dog = Watchdog::new(at(0));
        let verdicts: Vec<_> = (1..=600)
            .map(|s| {
                if s % 10 == 0 {
                    dog.heard(at(s));
                }
                dog.check(at(s))
            })
            .collect();
        assert!(!verdicts.contains(&Verdict::Dead));
        dog.media(at(601));
        assert_eq!(dog.check(at(605)), Verdict::Fine);
        assert_eq!(dog.check(at(606)), Verdict::Stalled, "a new silence is a new report");
    }
}
