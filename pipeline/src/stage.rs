//! Frames kept back while Twilio's socket is slow: bounded, and what goes first is what is missed least.

use std::collections::VecDeque;

use crate::cells::{Cells, Chain, cells};
use crate::frame::{FRAME_MS, MediaFrame};
use crate::ring::{DOWNLINK_STAGE_MS, Item as _, Load as _};

/// A queue of [`DOWNLINK_STAGE_MS`].
pub(crate) struct Stage {
    /// Never longer than its first capacity, so never reallocated.
    frames: VecDeque<Staged>,
    audio: Cells,
}

struct Staged {
    head: MediaFrame<()>,
    audio: Chain,
    silent: bool,
}

const CAPACITY: usize = (DOWNLINK_STAGE_MS / FRAME_MS) as usize;

impl Stage {
    /// A stage for frames of `frame_bytes`.
    pub(crate) fn new(frame_bytes: usize) -> Self {
        Self { frames: VecDeque::with_capacity(CAPACITY), audio: Cells::new(CAPACITY * cells(frame_bytes)) }
    }

    /// Adds a frame. Returns whether another had to go for it: the oldest silent one, else the oldest.
    pub(crate) fn push(&mut self, frame: &MediaFrame, silent: bool) -> bool {
        let full = self.frames.len() >= CAPACITY;
        if full {
            let victim = self.frames.iter().position(|staged| staged.silent).unwrap_or(0);
            if let Some(gone) = self.frames.remove(victim) {
                self.audio.give_back(gone.audio);
            }
        }
        match self.audio.put(frame.payload()) {
            Some(audio) => self.frames.push_back(Staged { head: frame.head(), audio, silent }),
            None => debug_assert!(false, "a frame of more than frame_bytes"),
        }
        full
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<MediaFrame> {
        let Staged { head, audio, .. } = self.frames.pop_front()?;
        let mut frame = MediaFrame::default();
        frame.refill(&head, |bytes| self.audio.read(&audio, bytes));
        self.audio.give_back(audio);
        Some(frame)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        while let Some(gone) = self.frames.pop_front() {
            self.audio.give_back(gone.audio);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Nanos;

    #[test]
    fn silence_goes_first_then_the_oldest() {
        let frame = |time| MediaFrame::new(Nanos(0), time, &[time as u8; 160]).unwrap();
        let mut stage = Stage::new(160);
        for time in 0..CAPACITY as u64 {
            assert!(!stage.push(&frame(time), time == 3));
        }
        assert!(stage.push(&frame(100), false), "3 goes");
        assert!(stage.push(&frame(101), false), "0 goes");
        let left: Vec<MediaFrame> = std::iter::from_fn(|| stage.pop()).collect();
        assert!(left.iter().all(|frame| frame.payload() == [frame.time as u8; 160]));
        let left: Vec<u64> = left.iter().map(|frame| frame.time).collect();
        assert_eq!(left[..4], [1, 2, 4, 5]);
        assert_eq!(left[CAPACITY - 2..], [100, 101]);
        assert_eq!(left.len(), CAPACITY);
        (0..1_000).for_each(|time| {
            stage.push(&frame(time), false);
        });
        stage.clear();
        assert!(stage.is_empty() && stage.pop().is_none());
        assert!(!stage.push(&frame(7), true), "all places are free again");
    }
}
