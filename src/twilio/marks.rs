//! Marks that Twilio has not echoed yet. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Marks waiting at once. At one per 160 ms this is over 40 s of sound in Twilio's queue, where 100 ms is the aim.
pub const MAX_WAITING: usize = 256;
/// A mark not echoed for so long never will be: Twilio's queue would have to be this long.
pub const LOST_AFTER: Duration = Duration::from_secs(30);

/// Marks sent and not yet echoed, oldest first.
#[derive(Debug, Default)]
pub struct Marks {
    waiting: VecDeque<(String, Instant)>,
}

impl Marks {
    /// Remembers a mark that is being sent. Returns how many older ones were given up.
    pub fn sent(&mut self, name: String, now: Instant) -> usize {
        let before = self.waiting.len();
        while self.waiting.len() >= MAX_WAITING
            || self
                .waiting
                .front()
                .is_some_and(|(_, sent)| now.saturating_duration_since(*sent) >= LOST_AFTER)
        {
            self.waiting.pop_front();
        }
        let lost = before - self.waiting.len();
        self.waiting.push_back((name, now));
        lost
    }

    /// Whether `name` was waiting. Twilio echoes in order, so older ones that were passed over stay until they are lost.
    pub fn echoed(&mut self, name: &str) -> bool {
        match self.waiting.iter().position(|(waiting, _)| waiting == name) {
            Some(at) => self.waiting.remove(at).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marks_of_ours_are_taken_and_only_once() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        marks.sent("a".into(), now);
        marks.sent("b".into(), now);
        assert!(!marks.echoed("forged"));
        assert!(marks.echoed("b"));
        assert!(!marks.echoed("b"));
        assert!(marks.echoed("a"));
    }

    #[test]
    fn ten_thousand_marks_without_echo_stay_bounded() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        let lost: usize = (0..10_000).map(|i| marks.sent(i.to_string(), now)).sum();
        assert_eq!((marks.waiting.len(), lost), (MAX_WAITING, 10_000 - MAX_WAITING));
    }

    #[test]
    fn an_old_mark_is_given_up() {
        let (mut marks, now) = (Marks::default(), Instant::now());
        marks.sent("old".into(), now);
        assert_eq!(marks.sent("new".into(), now + LOST_AFTER), 1);
        assert!(!marks.echoed("old"));
    }
}
