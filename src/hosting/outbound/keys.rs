//! `Idempotency-Key`: a request that is sent twice places one call. Pure; the time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Longest key, bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// How long an answer is kept for repetitions.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// Keys kept; beyond it the oldest is forgotten.
const MAX_KEYS: usize = 10_000;

type Hash = [u8; 32];

/// An answer as it was given: HTTP status and JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// A request under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Hash);

/// Why a request is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// It was: this is the answer.
    Answered(Answer),
    /// It is being made.
    UnderWay,
    /// The key was used for something else.
    OtherRequest,
}

#[derive(Debug)]
struct Entry {
    request: Hash,
    answer: Option<Answer>,
    at: Instant,
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: HashMap<Hash, Entry>,
    /// Oldest first; one may be gone already, or be there anew.
    order: VecDeque<(Hash, Instant)>,
}

impl Keys {
    pub fn begin(&mut self, key: &str, request: &[u8], now: Instant) -> Result<Key, KeyError> {
        self.expire(now);
        let (key, request) = (Sha256::digest(key).into(), Sha256::digest(request).into());
        match self.entries.get(&key) {
            Some(entry) if entry.request != request => return Err(KeyError::OtherRequest),
            Some(Entry { answer: Some(answer), .. }) => return Err(KeyError::Answered(answer.clone())),
            Some(_) => return Err(KeyError::UnderWay),
            None => {}
        }
        self.entries.insert(key, Entry { request, answer: None, at: now });
        self.order.push_back((key, now));
        Ok(Key(key))
    }

    pub fn settle(&mut self, key: &Key, answer: Option<Answer>) {
        match answer {
            None => drop(self.entries.remove(&key.0)),
            Some(answer) => {
                if let Some(entry) = self.entries.get_mut(&key.0) {
                    entry.answer = Some(answer);
                }
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(key, at)) = self.order.front() {
            if self.order.len() < MAX_KEYS && now.saturating_duration_since(at) < KEEP {
                break;
            }
            self.order.pop_front();
            if self.entries.get(&key).is_some_and(|entry| entry.at == at) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer { status: 201, body: "{}".into() }
    }

    #[test]
    fn the_same_request_gets_the_same_answer() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        let key = keys.begin("k", b"a", now).unwrap();
        assert_eq!(keys.begin("k", b"a", now), Err(KeyError::UnderWay));
        assert_eq!(keys.begin("k", b"b", now), Err(KeyError::OtherRequest));
        keys.settle(&key, Some(answer()));
        assert_eq!(keys.begin("k", b"a", now), Err(KeyError::Answered(answer())));
        assert_eq!(keys.begin("k", b"b", now), Err(KeyError::OtherRequest));
        assert!(keys.begin("l", b"a", now).is_ok());
        assert!(keys.begin("k", b"a", now + KEEP).is_ok(), "it is forgotten after a day");
    }

    #[test]
    fn what_was_not_done_may_be_tried_again() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        let key = keys.begin("k", b"a", now).unwrap();
        keys.settle(&key, None);
        let later = now + Duration::from_secs(1);
        assert!(keys.begin("k", b"b", later).is_ok());
        // The first one's place in the order does not take the second one along.
        assert_eq!(keys.begin("k", b"b", now + KEEP), Err(KeyError::UnderWay));
    }

    #[test]
    fn they_stay_bounded() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        for i in 0..MAX_KEYS + 100 {
            let key = keys.begin(&i.to_string(), b"a", now).unwrap();
            if i % 2 == 0 {
                keys.settle(&key, None);
            }
        }
        assert!(keys.entries.len() <= MAX_KEYS && keys.order.len() <= MAX_KEYS);
    }
}
