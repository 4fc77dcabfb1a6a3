//! Linear prediction of speech: what the vocal tract makes of its excitation, and what the excitation was.

/// Coefficients: a pair for each formant below 4 kHz, and one to tilt. More model the pitch, which is not theirs to model.
pub(crate) const ORDER: usize = 10;
/// Samples looked at: 25 ms at 8 kHz, two periods of a low voice.
pub(crate) const WINDOW: usize = 200;
/// Part of the window that rises; the rest falls, so that what was heard last counts most.
const RISE: f32 = 0.85;
/// Each pole is drawn in by so much: a resonance as sharp as measured would whistle when it rings on.
const DAMPING: f32 = 0.99;

/// An all-pole filter `1 / (1 + Σ a[k] z^-(k+1))` with its memory.
#[derive(Default)]
pub(crate) struct Predictor {
    a: [f32; ORDER],
    /// Latest output first.
    memory: [f32; ORDER],
}

impl Predictor {
    /// Fits the filter to the last [`WINDOW`] samples and leaves it as if it had made them.
    pub(crate) fn fit(history: &[f32]) -> Self {
        let recent = &history[history.len() - WINDOW..];
        let mut windowed = [0.0; WINDOW];
        for (i, (out, sample)) in windowed.iter_mut().zip(recent).enumerate() {
            let at = i as f32 / WINDOW as f32;
            let angle = if at < RISE { 1.0 - at / RISE } else { (at - RISE) / (1.0 - RISE) };
            *out = sample * (angle * std::f32::consts::FRAC_PI_2).cos();
        }
        let mut correlation = [0.0; ORDER + 1];
        for (lag, sum) in correlation.iter_mut().enumerate() {
            *sum = dot(&windowed[lag..], &windowed[..WINDOW - lag]);
        }
        // White noise 33 dB below the signal, and a trace on silence, keep the recursion stable.
        correlation[0] = correlation[0] * 1.0005 + 1.0;
        let mut a = levinson_durbin(&correlation);
        let mut damping = 1.0;
        for coefficient in &mut a {
            damping *= DAMPING;
            *coefficient *= damping;
        }
        let mut memory = [0.0; ORDER];
        for (kept, sample) in memory.iter_mut().zip(history.iter().rev()) {
            *kept = *sample;
        }
        Self { a, memory }
    }

    /// What the filter was driven with to give the sample at `at`, which has [`ORDER`] predecessors.
    pub(crate) fn excitation(&self, history: &[f32], at: usize) -> f32 {
        let before = history[at - ORDER..at].iter().rev();
        history[at] + self.a.iter().zip(before).map(|(a, x)| a * x).sum::<f32>()
    }

    /// Drives the filter.
    pub(crate) fn next(&mut self, excitation: f32) -> f32 {
        let sample = excitation - self.a.iter().zip(&self.memory).map(|(a, x)| a * x).sum::<f32>();
        self.memory.copy_within(..ORDER - 1, 1);
        self.memory[0] = sample;
        sample
    }
}

fn levinson_durbin(correlation: &[f32; ORDER + 1]) -> [f32; ORDER] {
    let mut a = [0.0; ORDER];
    let mut error = correlation[0];
    for i in 0..ORDER {
        let mut sum = correlation[i + 1];
        for j in 0..i {
            sum += a[j] * correlation[i - j];
        }
        let reflection = -sum / error;
        let previous = a;
        for j in 0..i {
            a[j] += reflection * previous[i - 1 - j];
        }
        a[i] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    a
}

/// Sum of products, in eight sums so that they can be made at once.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Speech;
    use crate::units::SampleRate;

    #[test]
    fn excitation_and_filter_undo_each_other() {
        let mut speech = [0; 400];
        Speech::new(3, SampleRate::Hz8000).fill(&mut speech);
        let speech = speech.map(f32::from);
        let mut predictor = Predictor::fit(&speech[..300]);
        let (mut left, mut whole) = (0.0, 0.0);
        for at in 300..400 {
            let excitation = predictor.excitation(&speech, at);
            left += excitation * excitation;
            whole += speech[at] * speech[at];
            let made = predictor.next(excitation);
            assert!((made - speech[at]).abs() < 1.0 + speech[at].abs() * 1e-3, "{made} {}", speech[at]);
        }
        assert!(left < whole / 10.0, "prediction takes most of it away: {left} of {whole}");
    }

    #[test]
    fn silence_is_not_blown_up() {
        let mut predictor = Predictor::fit(&[0.0; WINDOW]);
        assert!((0..1000).all(|_| predictor.next(0.0) == 0.0));
    }
}
