//! Server voice activity detection by energy, in media time.
//!
//! The real detector is a trained one; this is what can be predicted by a test: speech is sound above a level, a turn begins with a little
//! of it and ends with `silence_duration_ms` of its absence. All times are milliseconds of audio received, whenever it arrived.

/// One step of the detector: 20 ms at 8 kHz.
const WINDOW_SAMPLES: usize = 160;
/// Length of a step in milliseconds.
const WINDOW_MS: u64 = 20;
/// Loud windows within the last [`ONSET_OF`] that make speech: 60 of 100 ms. Clicks are shorter, the shortest words ("no") are longer.
const ONSET_WINDOWS: u32 = 3;
/// The span in which [`ONSET_WINDOWS`] must lie.
const ONSET_OF: u32 = 5;
/// A window counts as quiet only this far below the level that starts speech, so that weak endings of words belong to them.
const HYSTERESIS_DB: f64 = 6.0;

/// The settings that matter here, from `turn_detection`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VadSettings {
    /// 0.0 to 1.0, as in the session.
    pub(crate) threshold: f64,
    pub(crate) prefix_padding_ms: u64,
    pub(crate) silence_duration_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VadEvent {
    /// Media time of the onset less the prefix padding.
    Started { audio_start_ms: u64 },
    /// Media time when the silence was long enough: it is part of the turn.
    Stopped { audio_end_ms: u64 },
}

#[derive(Debug)]
pub(crate) struct Vad {
    settings: VadSettings,
    window: Vec<i16>,
    /// Media time in milliseconds at the start of `window`.
    now_ms: u64,
    recent: u32,
    quiet_ms: u64,
    speaking: bool,
}

impl Vad {
    /// A detector that starts at this media time.
    pub(crate) fn new(settings: VadSettings, now_ms: u64) -> Self {
        Self {
            settings,
            window: Vec::with_capacity(WINDOW_SAMPLES),
            now_ms,
            recent: 0,
            quiet_ms: 0,
            speaking: false,
        }
    }

    pub(crate) fn settings(&self) -> VadSettings {
        self.settings
    }

    /// New settings apply from the next window on; a turn in progress goes on.
    pub(crate) fn set(&mut self, settings: VadSettings) {
        self.settings = settings;
    }

    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Takes 8 kHz samples in order and tells what changed.
    pub(crate) fn push(&mut self, samples: &[i16]) -> Vec<VadEvent> {
        let mut events = Vec::new();
        for sample in samples {
            self.window.push(*sample);
            if self.window.len() == WINDOW_SAMPLES {
                let level = level_dbfs(&self.window);
                self.window.clear();
                self.now_ms += WINDOW_MS;
                events.extend(self.step(level));
            }
        }
        events
    }

    fn step(&mut self, level: f64) -> Option<VadEvent> {
        let start_level = start_level_dbfs(self.settings.threshold);
        if self.speaking {
            let quiet = level < start_level - HYSTERESIS_DB;
            self.quiet_ms = if quiet { self.quiet_ms + WINDOW_MS } else { 0 };
            if self.quiet_ms < self.settings.silence_duration_ms.max(WINDOW_MS) {
                return None;
            }
            self.speaking = false;
            self.recent = 0;
            return Some(VadEvent::Stopped { audio_end_ms: self.now_ms });
        }
        self.recent = (self.recent << 1 | u32::from(level >= start_level)) & ((1 << ONSET_OF) - 1);
        if self.recent.count_ones() < ONSET_WINDOWS {
            return None;
        }
        let onset = u64::from(32 - self.recent.leading_zeros()) * WINDOW_MS;
        self.speaking = true;
        self.quiet_ms = 0;
        let audio_start_ms = self.now_ms.saturating_sub(onset + self.settings.prefix_padding_ms);
        Some(VadEvent::Started { audio_start_ms })
    }
}

/// The level that starts speech for a threshold of the session: -52 dBFS at 0.0, -40 at 0.5, -28 at 1.0. Recorded speech over a telephone
/// lies around -20, line noise below -60.
fn start_level_dbfs(threshold: f64) -> f64 {
    -52.0 + 24.0 * threshold.clamp(0.0, 1.0)
}

/// Root mean square against full scale.
fn level_dbfs(samples: &[i16]) -> f64 {
    let energy = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
    10.0 * (energy / (32_768.0 * 32_768.0)).max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: VadSettings =
        VadSettings { threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500 };

    fn tone(ms: usize, amplitude: f64) -> Vec<i16> {
        (0..ms * 8).map(|i| ((i as f64 * 0.5).sin() * amplitude) as i16).collect()
    }

    #[test]
    fn a_turn_has_its_prefix_and_its_silence() {
        let mut vad = Vad::new(SETTINGS, 0);
        assert_eq!(vad.push(&tone(1_000, 20.0)), []);
        let started = vad.push(&tone(400, 6_000.0));
        assert_eq!(started, [VadEvent::Started { audio_start_ms: 700 }]);
        assert!(vad.is_speaking());
        assert_eq!(vad.push(&vec![0; 8 * 480]), []);
        assert_eq!(vad.push(&vec![0; 8 * 40]), [VadEvent::Stopped { audio_end_ms: 1_900 }]);
    }

    #[test]
    fn the_start_never_lies_before_the_session() {
        let mut vad = Vad::new(SETTINGS, 0);
        assert_eq!(vad.push(&tone(100, 6_000.0)), [VadEvent::Started { audio_start_ms: 0 }]);
    }

    #[test]
    fn clicks_and_pauses_between_words_change_nothing() {
        let mut vad = Vad::new(SETTINGS, 0);
        assert_eq!(vad.push(&[tone(20, 20_000.0), vec![0; 8 * 200]].concat()), []);
        let sentence = [tone(300, 6_000.0), vec![0; 8 * 400], tone(300, 6_000.0)].concat();
        assert_eq!(vad.push(&sentence).len(), 1);
    }

    #[test]
    fn the_threshold_decides_how_loud_is_speech() {
        let quiet = tone(400, 450.0);
        assert_eq!(Vad::new(SETTINGS, 0).push(&quiet), []);
        assert_eq!(Vad::new(VadSettings { threshold: 0.1, ..SETTINGS }, 0).push(&quiet).len(), 1);
    }

    #[test]
    fn every_recorded_caller_line_is_one_turn_at_500_ms() {
        for clip in crate::speech::CLIPS {
            let mut vad = Vad::new(SETTINGS, 0);
            let line = [vec![0; 4_000], clip.samples_8k(), vec![0; 8_000]].concat();
            let events = vad.push(&line);
            let starts = events.iter().filter(|e| matches!(e, VadEvent::Started { .. })).count();
            assert_eq!(events.len(), starts * 2, "{clip:?}: {events:?}");
            assert!(starts >= 1, "{clip:?} is not heard");
            if clip.duration().as_secs() < 3 {
                assert_eq!(starts, 1, "{clip:?} falls apart: {events:?}");
            }
        }
    }

    #[test]
    fn samples_may_come_in_any_pieces() {
        let line = [vec![0i16; 800], tone(500, 6_000.0), vec![0; 8_000]].concat();
        let whole = Vad::new(SETTINGS, 0).push(&line);
        let mut vad = Vad::new(SETTINGS, 0);
        let pieces: Vec<_> = line.chunks(37).flat_map(|piece| vad.push(piece)).collect();
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 2);
    }
}
