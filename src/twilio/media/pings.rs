//! Round-trip time by WebSocket pings, and the way for the reader to ask the writer for one.

use std::sync::Mutex;
use std::time::Duration;

use pipeline::Nanos;

use crate::bell::TaskBell;

/// Shared by a stream's reader and writer.
#[derive(Debug, Default)]
pub struct Pings {
    state: Mutex<State>,
    wanted: TaskBell,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    /// The ping that has no answer yet.
    waiting: Option<(u64, Nanos)>,
}

impl Pings {
    /// The payload of the next ping, sent at `now`. An older one without an answer is forgotten.
    pub fn next(&self, now: Nanos) -> [u8; 8] {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.sent += 1;
        state.waiting = Some((state.sent, now));
        state.sent.to_be_bytes()
    }

    /// The round trip, if `payload` answers the ping that waits. A peer may send pongs unasked (RFC 6455, 5.5.3).
    pub fn answered(&self, payload: &[u8], now: Nanos) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let (_, sent) = state.waiting.take_if(|(number, _)| number.to_be_bytes() == payload)?;
        Some(now.saturating_sub(sent))
    }

    /// Asks the writer for a ping now.
    pub fn want(&self) {
        self.wanted.ring();
    }

    /// Resolves when one was asked for.
    pub async fn wanted(&self) {
        self.wanted.rung().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_that_waits_counts_and_once() {
        let pings = Pings::default();
        let first = pings.next(Nanos::from_millis(0));
        let second = pings.next(Nanos::from_millis(10));
        assert_eq!(pings.answered(&first, Nanos::from_millis(30)), None);
        assert_eq!(pings.answered(b"forged", Nanos::from_millis(30)), None);
        assert_eq!(pings.answered(&second, Nanos::from_millis(30)), Some(Duration::from_millis(20)));
        assert_eq!(pings.answered(&second, Nanos::from_millis(40)), None);
    }
}
