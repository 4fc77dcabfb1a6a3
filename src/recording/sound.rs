//! A recording as a file that people can play: two channels, the caller left, ARIA right.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use pipeline::opus::Encoder;
use pipeline::{MediaEncoding, OpusConfig, SampleRate, g711};

use super::spool::SpoolFile;
use crate::config::SoundFormat;

/// Bits a second of an Opus recording, both channels. CELT alone, which keeps what is said left out of the right: the speech mode of
/// libopus narrows the stereo image at such rates.
const BITRATE: u32 = 64_000;
/// Frames of 20 ms in one page of an Ogg file: a player seeks by pages.
const FRAMES_PER_PAGE: usize = 50;
/// The clock of Ogg Opus, whatever the sound's own (RFC 7845, 4).
const OGG_HZ: u32 = 48_000;
/// Enough for any packet of 20 ms.
const MAX_PACKET: usize = 1_275;

/// Writes `spool` to `path` as `format`.
pub(super) fn write(spool: &SpoolFile, format: SoundFormat, path: &Path) -> io::Result<()> {
    match format {
        SoundFormat::Wav => wav(spool, path),
        SoundFormat::Ogg => ogg_opus(spool, path),
    }
}

/// Second `n` as pairs of samples.
fn pairs(spool: &SpoolFile, n: u64) -> io::Result<Option<Vec<i16>>> {
    let Some(sides) = spool.read(n)? else { return Ok(None) };
    let [caller, aria] = sides.map(|bytes| samples(spool.format.encoding, &bytes));
    Ok(Some(caller.into_iter().zip(aria).flat_map(|(caller, aria)| [caller, aria]).collect()))
}

fn samples(encoding: MediaEncoding, bytes: &[u8]) -> Vec<i16> {
    match encoding {
        MediaEncoding::Mulaw => {
            let mut samples = vec![0; bytes.len()];
            g711::decode(g711::Law::Mu, bytes, &mut samples);
            samples
        }
        MediaEncoding::L16 => bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
    }
}

fn wav(spool: &SpoolFile, path: &Path) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: spool.format.rate.hz(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(io::Error::other)?;
    for n in 0.. {
        let Some(pairs) = pairs(spool, n)? else { break };
        for sample in pairs {
            writer.write_sample(sample).map_err(io::Error::other)?;
        }
    }
    writer.finalize().map_err(io::Error::other)
}

/// RFC 7845.
fn ogg_opus(spool: &SpoolFile, path: &Path) -> io::Result<()> {
    let rate = spool.format.rate;
    let config = OpusConfig { bitrate: BITRATE, fec: false, low_delay: true, ..OpusConfig::default() };
    let mut encoder = Encoder::stereo(rate, &config).map_err(io::Error::other)?;
    let per_sample = OGG_HZ / rate.hz();
    let skip = encoder.lookahead() as u32 * per_sample;
    let mut packets = PacketWriter::new(BufWriter::new(File::create(path)?));
    // One stream a file: any number will do.
    let serial = 1;
    packets.write_packet(head(rate, skip as u16), serial, PacketWriteEndInfo::EndPage, 0)?;
    packets.write_packet(tags(), serial, PacketWriteEndInfo::EndPage, 0)?;
    let frame = rate.samples(20) * 2;
    let (mut waiting, mut length, mut frames) = (Vec::new(), 0, 0);
    for n in 0.. {
        let read = pairs(spool, n)?;
        let last = read.is_none();
        match read {
            Some(pairs) => {
                length += (pairs.len() / 2) as u64;
                waiting.extend(pairs);
            }
            // What the encoder holds back comes out behind as much silence.
            None => waiting.resize((waiting.len() + encoder.lookahead() * 2).next_multiple_of(frame), 0),
        }
        let whole = waiting.len() / frame;
        for (i, pcm) in waiting.chunks_exact(frame).enumerate() {
            let mut packet = vec![0; MAX_PACKET];
            let bytes = encoder.encode(pcm, &mut packet).map_err(io::Error::other)?;
            packet.truncate(bytes);
            frames += 1;
            let end = last && i + 1 == whole;
            let info = match (end, frames % FRAMES_PER_PAGE) {
                (true, _) => PacketWriteEndInfo::EndStream,
                (false, 0) => PacketWriteEndInfo::EndPage,
                (false, _) => PacketWriteEndInfo::NormalPacket,
            };
            // The last page says where the sound ends, which may be within its last packet.
            let granule = match end {
                true => length * u64::from(per_sample) + u64::from(skip),
                false => frames as u64 * u64::from(OGG_HZ / 50),
            };
            packets.write_packet(packet, serial, info, granule)?;
        }
        waiting.drain(..whole * frame);
        if last {
            break;
        }
    }
    packets.into_inner().into_inner().map_err(|error| error.into_error())?;
    Ok(())
}

/// The identification header (RFC 7845, 5.1).
fn head(rate: SampleRate, skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    head.extend([1, 2]); // Version, channels.
    head.extend(skip.to_le_bytes());
    head.extend(rate.hz().to_le_bytes());
    head.extend([0, 0, 0]); // Gain; mapping family 0: left, right.
    head
}

/// The comment header (5.2): nothing that tells whose call it is.
fn tags() -> Vec<u8> {
    const VENDOR: &[u8] = b"ARIA bridge";
    let mut tags = b"OpusTags".to_vec();
    tags.extend((VENDOR.len() as u32).to_le_bytes());
    tags.extend(VENDOR);
    tags.extend(0_u32.to_le_bytes());
    tags
}
