//! Whether one more call may come in. Pure; the time is an argument.

use std::time::Duration;

use super::rate::Bucket;

/// Why a call was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bridge is shutting down.
    #[error("draining")]
    Draining,
    /// As many calls as it may hold are here.
    #[error("full")]
    Full,
    /// More new calls per second than it may take on.
    #[error("too many new calls per second")]
    TooFast,
    /// What a call leaves behind could not be kept.
    #[error("records cannot be kept")]
    NoRecords,
}

impl Refusal {
    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::TooFast => "too_fast",
            Self::NoRecords => "no_records",
        }
    }
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    max_calls: usize,
    new_calls: Bucket,
    draining: bool,
    recording: bool,
}

impl Admission {
    /// Holds `max_calls` calls and takes on `calls_per_second` (a second's worth may come at once).
    pub fn new(max_calls: usize, calls_per_second: u32) -> Self {
        Self {
            max_calls,
            new_calls: Bucket::new(calls_per_second, calls_per_second),
            draining: false,
            recording: true,
        }
    }

    /// Whether a call may come in while `live` are here; counts it as come.
    pub fn admit(&mut self, live: usize, now: Duration) -> Result<(), Refusal> {
        self.open(live)?;
        if self.new_calls.take(now) { Ok(()) } else { Err(Refusal::TooFast) }
    }

    /// Whether the door is open at all, for load balancers. Does not count.
    pub fn open(&self, live: usize) -> Result<(), Refusal> {
        match (self.draining, live >= self.max_calls) {
            (true, _) => Err(Refusal::Draining),
            (_, true) => Err(Refusal::Full),
            _ if !self.recording => Err(Refusal::NoRecords),
            _ => Ok(()),
        }
    }

    /// Notes whether records can be kept.
    pub fn recording(&mut self, recording: bool) {
        self.recording = recording;
    }

    /// Shuts the door for good.
    pub fn drain(&mut self) {
        self.draining = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_fast_and_draining_are_told_apart() {
        let mut door = Admission::new(3, 2);
        let now = Duration::from_secs(10);
        assert_eq!(door.admit(0, now), Ok(()));
        assert_eq!(door.admit(1, now), Ok(()));
        assert_eq!(door.admit(2, now), Err(Refusal::TooFast));
        assert_eq!(door.admit(2, now + Duration::from_millis(500)), Ok(()));
        assert_eq!(door.admit(3, now + Duration::from_secs(5)), Err(Refusal::Full));
        door.recording(false);
        assert_eq!(door.admit(0, now + Duration::from_secs(8)), Err(Refusal::NoRecords));
        door.recording(true);
        door.drain();
        assert_eq!(door.admit(0, now + Duration::from_secs(9)), Err(Refusal::Draining));
        assert_eq!(door.open(0), Err(Refusal::Draining));
    }
}
