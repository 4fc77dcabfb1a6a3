//! Which moment of the model's sound each of the frames at Twilio is, so that it can be told what of it was played. Pure.

use std::collections::VecDeque;

use crate::call::Played;

/// Frames remembered: 5 s, more than ever waits at Twilio.
const MAX: usize = 250;

/// The frames sent last, by their place in the stream.
#[derive(Debug, Default)]
pub(super) struct Sources {
    frames: VecDeque<Frame>,
    sent: u64,
}

/// 16 bytes, of which a call remembers hundreds.
#[derive(Debug)]
struct Frame {
    /// First sample of the stream's.
    start: u64,
    /// RTP time on the model's clock, if `is_model`: other sound is not the model's.
    source: u32,
    samples: u16,
    is_model: bool,
}

impl Frame {
    fn source(&self) -> Option<u32> {
        self.is_model.then_some(self.source)
    }
}

impl Sources {
    /// A frame of `samples` was written.
    pub fn sent(&mut self, samples: u64, source: Option<u32>) {
        if self.frames.len() >= MAX {
            self.frames.pop_front();
        }
        self.frames.push_back(Frame {
            start: self.sent,
            source: source.unwrap_or_default(),
            samples: u16::try_from(samples).unwrap_or(u16::MAX),
            is_model: source.is_some(),
        });
        self.sent += samples;
    }

    /// What of the model's sound has been played when about `played` samples of the stream have been: frames are played whole, so the
    /// nearest end of one. `None` if none of the model's is among the last ones.
    pub fn at(&self, played: u64) -> Option<Played> {
        let whole = |frame: &Frame| frame.start + u64::from(frame.samples) / 2 < played;
        let frames = || self.frames.iter().filter(|frame| frame.is_model);
        match frames().rev().find(|frame| whole(frame)) {
            Some(frame) => Some(Played { source: frame.source()?, whole: true }),
            // All of them wait: the first has not begun.
            None => Some(Played { source: frames().next()?.source()?, whole: false }),
        }
    }

    /// Samples of the stream that were sent.
    pub fn total(&self) -> u64 {
        self.sent
    }

    /// What waits is gone.
    pub fn clear(&mut self) {
        self.frames.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_that_sounds_is_found() {
        let mut sources = Sources::default();
        assert_eq!(sources.at(0), None);
        sources.sent(160, None);
        for n in 0..10 {
            sources.sent(160, Some(1_000 + n * 960));
        }
        assert_eq!(sources.at(160), Some(Played { source: 1_000, whole: false }));
        assert_eq!(sources.at(240), Some(Played { source: 1_000, whole: false }));
        assert_eq!(sources.at(241), Some(Played { source: 1_000, whole: true }));
        assert_eq!(sources.at(400), Some(Played { source: 1_000, whole: true }));
        assert_eq!(sources.at(401), Some(Played { source: 1_960, whole: true }));
        assert_eq!(sources.at(99_999), Some(Played { source: 1_000 + 9 * 960, whole: true }));
        sources.clear();
        assert_eq!(sources.at(99_999), None);
    }
}
