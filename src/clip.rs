//! Sound that the bridge makes itself: while there is no model to speak, nobody else can.
//!
//! All of it is kept as mu-law at 8 kHz, a byte a sample, as it goes out.

use std::f64::consts::TAU;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use pipeline::SampleRate;
use pipeline::g711::{self, Law};
use pipeline::resample::Resampler;

/// Longest recording, seconds.
pub const MAX_SECONDS: u32 = 60;
/// A key's tone, and the pause behind it, ms (ITU-T Q.24 asks for 40 each at least; networks like more).
const TONE_MS: u32 = 100;
/// What `w` stands for, ms, as in Twilio's `<Play digits>`; `W` is twice that.
const PAUSE_MS: u32 = 500;
/// Of each of the two frequencies, of full scale: together −6 dBFS.
const TONE_LEVEL: f64 = 0.25;
/// Columns and rows of the keypad, Hz (ITU-T Q.23).
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const ROWS: [(f64, &str); 4] = [(697.0, "123A"), (770.0, "456B"), (852.0, "789C"), (941.0, "*0#D")];

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// It cannot be read, or is no WAV file.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// It is of another kind.
    #[error(
        "a recording must be a WAV file of one channel and 16 bit at 8, 16 or 24 kHz, and at most {MAX_SECONDS} s long"
    )]
    Kind,
}

/// "One moment, please."
pub fn wait() -> Arc<[u8]> {
    static WAIT: LazyLock<Arc<[u8]>> = LazyLock::new(|| {
        let file = Cursor::new(include_bytes!("clips/one-moment.wav"));
        let reader = hound::WavReader::new(file).expect("a WAV file");
        mulaw(reader).expect("of a kind that can be used")
    });
    Arc::clone(&WAIT)
}

/// Reads a recording.
pub fn load(path: &Path) -> Result<Arc<[u8]>, ClipError> {
    let reader = hound::WavReader::open(path)
        .map_err(|source| ClipError::Unreadable { path: path.to_owned(), source })?;
    mulaw(reader)
}

fn mulaw(reader: hound::WavReader<impl Read>) -> Result<Arc<[u8]>, ClipError> {
    let spec = reader.spec();
    let rate = SampleRate::from_hz(spec.sample_rate).ok_or(ClipError::Kind)?;
    let whole = spec.channels == 1
        && spec.bits_per_sample == 16
        && spec.sample_format == hound::SampleFormat::Int
        && reader.duration() <= MAX_SECONDS * spec.sample_rate;
    if !whole {
        return Err(ClipError::Kind);
    }
    let samples: Vec<i16> =
        reader.into_samples::<i16>().collect::<Result<_, _>>().map_err(|_| ClipError::Kind)?;
    let mut codes = Vec::with_capacity(samples.len() * 8_000 / rate.hz() as usize + 160);
    if rate == SampleRate::Hz8000 {
        codes.resize(samples.len(), 0);
        g711::encode(Law::Mu, &samples, &mut codes);
    } else {
        let mut narrow = Resampler::new(rate, SampleRate::Hz8000).map_err(|_| ClipError::Kind)?;
        let (mut block, mut out) = (vec![0; narrow.block_in()], vec![0; narrow.block_out()]);
        for piece in samples.chunks(narrow.block_in()) {
            block[..piece.len()].copy_from_slice(piece);
            block[piece.len()..].fill(0);
            narrow.process(&block, &mut out);
            let at = codes.len();
            codes.resize(at + out.len(), 0);
            g711::encode(Law::Mu, &out, &mut codes[at..]);
        }
    }
    Ok(codes.into())
}

/// The tones of telephone keys: `0`–`9`, `*`, `#`, `A`–`D`; `w` and `W` are pauses. Others are left out.
pub fn tones(keys: &str) -> Arc<[u8]> {
    let mut samples: Vec<i16> = Vec::new();
    let length = |ms: u32| SampleRate::Hz8000.samples(ms);
    for key in keys.chars() {
        let silence = match key {
            'w' => PAUSE_MS,
            'W' => 2 * PAUSE_MS,
            _ => {
                let Some((row, column)) = ROWS
                    .iter()
                    .find_map(|(row, keys)| Some((*row, COLUMNS[keys.chars().position(|k| k == key)?])))
                else {
                    continue;
                };
                samples.extend((0..length(TONE_MS)).map(|n| {
                    let t = n as f64 / 8_000.0;
                    let level = (TAU * row * t).sin() + (TAU * column * t).sin();
                    (level * TONE_LEVEL * f64::from(i16::MAX)) as i16
                }));
                TONE_MS
            }
        };
        samples.resize(samples.len() + length(silence), 0);
    }
    let mut codes = vec![0; samples.len()];
    g711::encode(Law::Mu, &samples, &mut codes);
    codes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(codes: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; codes.len()];
        g711::decode(Law::Mu, codes, &mut samples);
        samples
    }

    /// How strong a frequency is (Goertzel).
    fn power(samples: &[i16], hz: f64) -> f64 {
        let k = 2.0 * (TAU * hz / 8_000.0).cos();
        let (a, b) = samples.iter().fold((0.0, 0.0), |(a, b), s| (f64::from(*s) + k * a - b, a));
        a * a + b * b - k * a * b
    }

    #[test]
    fn the_built_in_recording_is_speech_of_a_second_or_so() {
        let sound = decoded(&wait());
        assert!((4_000..24_000).contains(&sound.len()), "{}", sound.len());
        assert!(sound.iter().any(|s| s.unsigned_abs() > 4_000));
    }

    #[test]
    fn keys_sound_as_their_two_frequencies() {
        let five = decoded(&tones("5"));
        assert_eq!(five.len(), 1_600);
        let strong = [770.0, 1336.0].map(|hz| power(&five[..800], hz));
        for hz in [697.0, 852.0, 941.0, 1209.0, 1477.0, 1633.0] {
            let weak = power(&five[..800], hz);
            assert!(strong.iter().all(|s| *s > 100.0 * weak), "{hz}: {weak} of {strong:?}");
        }
        assert!(five[800..].iter().all(|s| s.unsigned_abs() < 8));
        assert_eq!(tones("1w").len(), 1_600 + 4_000);
        assert!(tones("x+ ").is_empty());
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(load(Path::new("/nonexistent.wav")), Err(ClipError::Unreadable { .. })));
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        writer.write_sample(0i16).unwrap();
        writer.write_sample(0i16).unwrap();
        writer.finalize().unwrap();
        file.set_position(0);
        assert!(matches!(mulaw(hound::WavReader::new(file).unwrap()), Err(ClipError::Kind)));
    }
}
