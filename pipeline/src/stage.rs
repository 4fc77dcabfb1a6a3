//! Frames kept back while Twilio's socket is slow: bounded, and what goes first is what is missed least.

use std::collections::VecDeque;

use crate::frame::{FRAME_MS, MediaFrame};
use crate::ring::DOWNLINK_STAGE_MS;

/// A queue of [`DOWNLINK_STAGE_MS`].
pub(crate) struct Stage {
    /// Never longer than its first capacity, so never reallocated.
    frames: VecDeque<(MediaFrame, bool)>,
}

const CAPACITY: usize = (DOWNLINK_STAGE_MS / FRAME_MS) as usize;

impl Stage {
    pub(crate) fn new() -> Self {
        Self { frames: VecDeque::with_capacity(CAPACITY) }
    }

    /// Adds a frame. Returns whether another had to go for it: the oldest silent one, else the oldest.
    pub(crate) fn push(&mut self, frame: MediaFrame, silent: bool) -> bool {
        let full = self.frames.len() >= CAPACITY;
        if full {
            let victim = self.frames.iter().position(|(_, silent)| *silent).unwrap_or(0);
            self.frames.remove(victim);
        }
        self.frames.push_back((frame, silent));
        full
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<MediaFrame> {
        self.frames.pop_front().map(|(frame, _)| frame)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    #[test]
    fn silence_goes_first_then_the_oldest() {
        let frame = |time| MediaFrame::new(Nanos(0), time, &[0]).unwrap();
        let mut stage = Stage::new();
        for time in 0..CAPACITY as u64 {
            assert!(!stage.push(frame(time), time == 3));
        }
        assert!(stage.push(frame(100), false), "3 goes");
        assert!(stage.push(frame(101), false), "0 goes");
        let left: Vec<u64> = std::iter::from_fn(|| stage.pop()).map(|f| f.time).collect();
        assert_eq!(left[..4], [1, 2, 4, 5]);
        assert_eq!(left[CAPACITY - 2..], [100, 101]);
        assert_eq!(left.len(), CAPACITY);
    }
}
