//! From a media message to frames: base64, re-chunking and media time. Pure.

use pipeline::{MediaFormat, MediaFrame, Nanos};

use crate::twilio::clock::{MediaClock, Place};
use crate::twilio::wire::Media;

/// Longest sound in one message, ms. Twilio sends 20; followers of its protocol up to 400.
pub const MAX_MESSAGE_MS: u32 = 1000;
/// Messages that cannot be decoded until the stream is given up.
pub const MAX_BAD: u32 = 50;

/// What became of a media message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Its frames were handed on.
    Frames {
        /// Samples missing before it.
        gap: u64,
        /// Its stamps began anew.
        reset: bool,
    },
    /// Not the caller's track.
    OtherTrack,
    /// It was here before.
    Duplicate,
    /// No payload, no base64, or more than a second of sound.
    Bad,
    /// One bad message too many.
    TooManyBad,
}

/// One stream's way in.
#[derive(Debug)]
pub struct Intake {
    format: MediaFormat,
    clock: MediaClock,
    max_bytes: usize,
    bad: u32,
    /// Reused, so that a message costs no allocation.
    decoded: Vec<u8>,
}

impl Intake {
    /// For a stream of `format`.
    pub fn new(format: MediaFormat) -> Self {
        let max_bytes = format.rate.samples(MAX_MESSAGE_MS) * format.encoding.bytes_per_sample();
        Self { format, clock: MediaClock::new(format.rate.hz()), max_bytes, bad: 0, decoded: Vec::new() }
    }

    /// Decodes a message read at `born` and hands its sound on in frames of at most 20 ms.
    pub fn take(
        &mut self,
        media: &Media<'_>,
        born: Nanos,
        mut hand_on: impl FnMut(&MediaFrame<&[u8]>),
    ) -> Taken {
        if !media.inbound {
            return Taken::OtherTrack;
        }
        let sample_bytes = self.format.encoding.bytes_per_sample();
        self.decoded.clear();
        let encoded = media.payload.as_bytes();
        let too_long = encoded.len() > base64_simd::STANDARD.encoded_length(self.max_bytes);
        if too_long || base64_simd::STANDARD.decode_append(encoded, &mut self.decoded).is_err() {
            return self.bad();
        }
        // Half a sample at the end is no sound.
        let whole = self.decoded.len() / sample_bytes * sample_bytes;
        if whole == 0 || whole > self.max_bytes {
            return self.bad();
        }
        let samples = (whole / sample_bytes) as u64;
        let Place::At { time, gap, reset } = self.clock.place(media.chunk, media.timestamp_ms, samples)
        else {
            return Taken::Duplicate;
        };
        let mut at = time;
        for piece in self.decoded[..whole].chunks(self.format.frame_bytes()) {
            let frame = MediaFrame::of(born, at, piece).expect("1 to frame_bytes() bytes, which fit a frame");
            hand_on(&frame);
            at += (piece.len() / sample_bytes) as u64;
        }
        Taken::Frames { gap, reset }
    }

    fn bad(&mut self) -> Taken {
        self.bad += 1;
        if self.bad > MAX_BAD { Taken::TooManyBad } else { Taken::Bad }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use pipeline::{MediaEncoding, SampleRate};

    use super::*;

    fn media(payload: &str, chunk: u64, timestamp_ms: u64) -> Media<'_> {
        Media {
            inbound: true,
            chunk: Some(chunk),
            timestamp_ms: Some(timestamp_ms),
            payload: Cow::Borrowed(payload),
        }
    }

    fn encode(bytes: usize) -> String {
        base64_simd::STANDARD.encode_to_string(vec![0x7f; bytes])
    }

    #[test]
    fn any_length_from_a_sample_to_a_second_is_cut_into_frames() {
        for bytes in [1, 2, 3, 159, 160, 161, 320, 3200, 7999, 8000] {
            let mut intake = Intake::new(MediaFormat::default());
            let (mut at, mut longest) = (0, 0);
            let taken = intake.take(&media(&encode(bytes), 1, 100), Nanos(5), |frame| {
                assert_eq!((frame.time, frame.born), (at, Nanos(5)));
                at += frame.payload().len() as u64;
                longest = longest.max(frame.payload().len());
            });
            assert_eq!(taken, Taken::Frames { gap: 0, reset: false });
            assert_eq!((at, longest), (bytes as u64, bytes.min(160)));
        }
    }

    #[test]
    fn time_goes_on_through_odd_lengths_and_gaps() {
        let mut intake = Intake::new(MediaFormat::default());
        let mut times = Vec::new();
        for (chunk, stamp, bytes) in [(1, 100, 160), (2, 120, 1), (3, 120, 159), (5, 160, 160)] {
            intake.take(&media(&encode(bytes), chunk, stamp), Nanos(0), |frame| times.push(frame.time));
        }
        assert_eq!(times, [0, 160, 161, 480]);
    }

    #[test]
    fn what_cannot_be_decoded_is_dropped_and_finally_refused() {
        let mut intake = Intake::new(MediaFormat::default());
        let long = encode(8001);
        let whole = ["", "f39", "f39/ ", "\nf39/", "f3 9/", "!!!!", "f39_", "f===", "é", &long];
        for i in 0..MAX_BAD as usize {
            let taken = intake.take(&media(whole[i % whole.len()], 1, 100), Nanos(0), |_| panic!());
            assert_eq!(taken, Taken::Bad, "{:?}", whole[i % whole.len()]);
        }
        assert_eq!(intake.take(&media("*", 1, 100), Nanos(0), |_| panic!()), Taken::TooManyBad);
    }

    #[test]
    fn other_tracks_and_repetitions_never_reach_the_model() {
        let mut intake = Intake::new(MediaFormat::default());
        let outbound = Media { inbound: false, ..media("f39/", 1, 100) };
        assert_eq!(intake.take(&outbound, Nanos(0), |_| panic!()), Taken::OtherTrack);
        let mut frames = 0;
        intake.take(&media("f39/", 1, 100), Nanos(0), |_| frames += 1);
        assert_eq!(intake.take(&media("f39/", 1, 100), Nanos(0), |_| frames += 1), Taken::Duplicate);
        assert_eq!(frames, 1);
    }

    #[test]
    fn wideband_frames_hold_whole_samples() {
        let format = MediaFormat { encoding: MediaEncoding::L16, rate: SampleRate::Hz24000 };
        let mut intake = Intake::new(format);
        let mut sizes = Vec::new();
        intake
            .take(&media(&encode(961 + 960), 1, 100), Nanos(0), |f| sizes.push((f.time, f.payload().len())));
        assert_eq!(sizes, [(0, 960), (480, 960)]);
    }
}
