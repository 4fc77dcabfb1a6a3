//! From one codec's sound into another's within a word: what the first would have gone on with fades into what comes.

use crate::resample::DELAY_MS;
use crate::units::SampleRate;

/// Over so much one gives way to the other: two of the steps that libopus conceals in, and a period of a high voice. More is sound
/// that was made up where there is real sound.
const FADE_MS: u32 = 5;

/// What is left of the codec played before. Allocated once; nothing waits for it, because it lies over sound that goes out anyway.
pub(crate) struct CrossFade {
    tail: Box<[i16]>,
    /// A second one, while what is left of the first fades into it.
    next: Box<[i16]>,
    /// Of `tail`, from here to `len`; before `alone` nothing of the new sound is let in.
    at: usize,
    alone: usize,
    len: usize,
    fade: usize,
    delay: usize,
}

impl CrossFade {
    /// For sound at `rate`.
    pub(crate) fn new(rate: SampleRate) -> Self {
        let (fade, delay) = (rate.samples(FADE_MS), rate.samples(DELAY_MS));
        let room = || vec![0; fade + delay].into_boxed_slice();
        Self { tail: room(), next: room(), at: 0, alone: 0, len: 0, fade, delay }
    }

    /// The codec changes: `extend` makes up how the sound so far goes on. What comes is `delayed` if a resampler begins with it, whose
    /// first samples are its filter's.
    pub(crate) fn begin(&mut self, delayed: bool, extend: impl FnOnce(&mut [i16])) {
        let alone = if delayed { self.delay } else { 0 };
        let len = alone + self.fade;
        let mut next = std::mem::take(&mut self.next);
        extend(&mut next[..len]);
        let _ = self.blend(&mut next[..len]);
        self.next = std::mem::replace(&mut self.tail, next);
        (self.at, self.alone, self.len) = (0, alone, len);
    }

    /// Lays what is left over the sound that comes; says whether there was any.
    pub(crate) fn blend(&mut self, sound: &mut [i16]) -> bool {
        let left = &self.tail[self.at..self.len];
        for (i, (sample, before)) in sound.iter_mut().zip(left).enumerate() {
            let into = (self.at + i + 1).saturating_sub(self.alone) as f32 / (self.fade + 1) as f32;
            let weight = 0.5 - 0.5 * (into * std::f32::consts::PI).cos();
            let (old, new) = (f32::from(*before), f32::from(*sample));
            *sample = (old + (new - old) * weight).round() as i16;
        }
        let laid = left.len().min(sound.len());
        self.at += laid;
        laid > 0
    }

    /// Forgets what is left.
    pub(crate) fn clear(&mut self) {
        (self.at, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: SampleRate = SampleRate::Hz8000;

    #[test]
    fn one_gives_way_to_the_other_in_pieces_of_any_length() {
        let mut whole = CrossFade::new(RATE);
        whole.begin(false, |tail| tail.fill(8000));
        let mut sound = [-8000; 160];
        assert!(whole.blend(&mut sound));
        assert!(sound.windows(2).all(|pair| pair[0].abs_diff(pair[1]) < 700), "no step");
        assert!(sound[0] > 7900 && sound[39] < -7900);
        assert_eq!(sound[40..], [-8000; 120]);
        assert!(!whole.blend(&mut sound[40..]), "it is used up");
        assert_eq!(sound[40..], [-8000; 120]);

        let mut pieces = CrossFade::new(RATE);
        pieces.begin(false, |tail| tail.fill(8000));
        let mut cut = [-8000; 160];
        cut.chunks_mut(7).for_each(|piece| {
            pieces.blend(piece);
        });
        assert_eq!(cut, sound);
    }

    #[test]
    fn a_resampler_is_given_its_delay() {
        let mut fade = CrossFade::new(RATE);
        fade.begin(true, |tail| tail.fill(8000));
        let mut sound = [0; 160];
        fade.blend(&mut sound);
        assert_eq!(sound[..40], [8000; 40]);
        assert!(sound[40] < 8000 && sound[79] > 0);
        assert_eq!(sound[80..], [0; 80]);
    }

    #[test]
    fn a_second_change_takes_over_what_the_first_left() {
        let mut fade = CrossFade::new(RATE);
        fade.begin(false, |tail| tail.fill(8000));
        let mut sound = [0; 20];
        fade.blend(&mut sound);
        fade.begin(false, |tail| tail.fill(0));
        let mut next = [0; 60];
        fade.blend(&mut next);
        assert!(sound[19].abs_diff(next[0]) < 700, "{} {}", sound[19], next[0]);
        assert_eq!(next[40..], [0; 20]);
        fade.begin(false, |tail| tail.fill(8000));
        fade.clear();
        fade.blend(&mut next);
        assert_eq!(next[40..], [0; 20]);
    }
}
