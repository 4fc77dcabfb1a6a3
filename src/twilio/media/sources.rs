//! Which moment of the model's sound each of the frames at Twilio is, so that it can be told what of it was played. Pure.

use std::collections::VecDeque;

use crate::call::Played;

/// Frames remembered: 5 s, more than ever waits at Twilio.
const MAX: usize = 250;

/// The frames sent last, by their place in the stream.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// First sample of the stream's, samples, and RTP time on the model's clock; `None` for sound that is not the model's.
    frames: VecDeque<(u64, u64, Option<u32>)>,
    sent: u64,
}

impl Sources {
    /// A frame of `samples` was written.
    pub fn sent(&mut self, samples: u64, source: Option<u32>) {
        if self.frames.len() >= MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((self.sent, samples, source));
        self.sent += samples;
    }

    /// What of the model's sound has been played when `played` samples of the stream have been: the frame that sounds then is played to
    /// its end. `None` if none of the model's is among the last ones.
    pub fn at(&self, played: u64) -> Option<Played> {
        let frame = self.frames.iter().rev().find(|(start, _, source)| *start < played && source.is_some());
        match frame {
            Some((_, _, source)) => Some(Played { source: (*source)?, whole: true }),
            // All of them wait: the first has not begun.
            None => {
                let (_, _, source) = self.frames.iter().find(|(_, _, source)| source.is_some())?;
                Some(Played { source: (*source)?, whole: false })
            }
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
        assert_eq!(sources.at(161), Some(Played { source: 1_000, whole: true }));
        assert_eq!(sources.at(320), Some(Played { source: 1_000, whole: true }));
        assert_eq!(sources.at(99_999), Some(Played { source: 1_000 + 9 * 960, whole: true }));
        sources.clear();
        assert_eq!(sources.at(99_999), None);
    }
}
