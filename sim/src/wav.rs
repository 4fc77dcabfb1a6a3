//! WAV files in and out: what a caller plays, and what both sides of a call said.

use std::path::Path;

use crate::speech::resample::resample;

/// Reads a WAV file of any rate, channel count and integer or float width as 8 kHz mono.
///
/// # Errors
/// The file cannot be opened, or is not a WAV file hound understands.
pub fn read_8k(path: &Path) -> Result<Vec<i16>, hound::Error> {
    decode_8k(std::io::BufReader::new(std::fs::File::open(path)?))
}

/// The same from memory or any other reader.
///
/// # Errors
/// It is not a WAV file hound understands.
pub fn decode_8k(source: impl std::io::Read) -> Result<Vec<i16>, hound::Error> {
    let mut reader = hound::WavReader::new(source)?;
    let spec = reader.spec();
    let flat: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
            reader.samples::<i32>().map(|s| Ok(s? as f32 / full)).collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<i16> = flat
        .chunks(channels)
        .map(|c| {
            (c.iter().sum::<f32>() / channels as f32 * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
        })
        .collect();
    Ok(resample(&mono, spec.sample_rate, 8_000))
}

/// Writes two sides of a call as one stereo file, 16 bit, `rate_hz` samples a second: `left` the caller, `right` ARIA. The shorter one is continued with silence.
///
/// # Errors
/// The file cannot be written.
pub fn write_stereo(path: &Path, rate_hz: u32, left: &[i16], right: &[i16]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for n in 0..left.len().max(right.len()) {
        writer.write_sample(left.get(n).copied().unwrap_or(0))?;
        writer.write_sample(right.get(n).copied().unwrap_or(0))?;
    }
    writer.finalize()
}

/// Writes one side alone, 16 bit mono.
///
/// # Errors
/// The file cannot be written.
pub fn write_mono(path: &Path, rate_hz: u32, samples: &[i16]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_keeps_the_sides_apart_and_mono_mixes_them() {
        let path = std::env::temp_dir().join(format!("sim-wav-{}.wav", std::process::id()));
        write_stereo(&path, 8_000, &[1_000, 2_000, 3_000], &[-1_000]).unwrap();
        let mut reader = hound::WavReader::open(&path).unwrap();
        let flat: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
        assert_eq!(flat, [1_000, -1_000, 2_000, 0, 3_000, 0]);
        let mono = read_8k(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mono.len(), 3);
        assert!(mono[0].abs() <= 1 && (mono[2] - 1_500).abs() <= 1, "{mono:?}");
    }

    #[test]
    fn a_wideband_file_arrives_at_the_telephone_rate() {
        let path = std::env::temp_dir().join(format!("sim-wav-wide-{}.wav", std::process::id()));
        write_mono(&path, 24_000, &vec![5_000; 24_000]).unwrap();
        let read = read_8k(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.len(), 8_000);
        assert!((read[4_000] - 5_000).abs() <= 2);
    }
}
