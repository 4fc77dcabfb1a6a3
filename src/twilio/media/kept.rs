//! What the caller says while the model does not listen yet: kept, and caught up with afterwards.

use std::collections::VecDeque;
use std::time::Duration;

use pipeline::{MediaFrame, Nanos};

/// Sound kept at most; beyond it the oldest goes. A session is there or given up by then.
pub const MAX_KEPT: Duration = Duration::from_secs(15);
/// How often some of it is handed on, and how many frames: five times as fast as it came, which is the pace that the audio thread goes on
/// with anyhow.
pub const EVERY: Duration = Duration::from_millis(20);
const FRAMES: usize = 5;

/// A frame, without the room that one on a ring has.
struct Frame {
    born: Nanos,
    time: u64,
    payload: Box<[u8]>,
}

/// Frames in their order.
#[derive(Default)]
pub(super) struct Kept {
    frames: VecDeque<Frame>,
}

impl Kept {
    /// Keeps a frame of 20 ms. Whether an older one went for it.
    pub fn keep(&mut self, frame: &MediaFrame<&[u8]>) -> bool {
        let full = self.frames.len() >= (MAX_KEPT.as_millis() / 20) as usize;
        if full {
            self.frames.pop_front();
        }
        let payload = frame.payload().into();
        self.frames.push_back(Frame { born: frame.born, time: frame.time, payload });
        full
    }

    /// Hands on what is due at once.
    pub fn release(&mut self, mut hand_on: impl FnMut(&MediaFrame<&[u8]>)) {
        for Frame { born, time, payload } in self.frames.drain(..self.frames.len().min(FRAMES)) {
            hand_on(&MediaFrame::of(born, time, &payload[..]).expect("it was a frame"));
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    /// Whether there is nothing to catch up with.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_kept_and_comes_out_in_order() {
        let mut kept = Kept::default();
        let mut keep = |n: u64| kept.keep(&MediaFrame::of(Nanos(n), n * 160, &[n as u8; 160][..]).unwrap());
        let dropped = (0..1_000).filter(|n| keep(*n)).count();
        assert_eq!(dropped, 250);
        let mut times = Vec::new();
        while !kept.is_empty() {
            let before = times.len();
            kept.release(|frame| times.push(frame.time / 160));
            assert!(times.len() - before <= FRAMES);
        }
        assert_eq!(times, (250..1_000).collect::<Vec<_>>());
    }
}
