//! Opus at the media rate on both sides: 20 ms, VOIP, in-band FEC; a malformed packet is an error, never a panic.
//!
//! libopus takes and gives 8, 16 and 24 kHz by itself, so no call that speaks Opus needs a resampler: 16 and 24 kHz
//! media are coded at their own rate. At 8 kHz that is both better and four times cheaper than going through 48 kHz.

use std::ffi::c_int;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

use crate::conceal::seam;
use crate::frame::FRAME_MS;
use crate::units::{SampleRate, Ticks};

/// Longest audio in one packet (RFC 6716, 3.2.5, R5).
pub const MAX_PACKET: Ticks = Ticks::from_millis(120);
/// libopus' own look-ahead in VOIP mode: the only delay the codec adds. 2.5 ms with [`OpusConfig::low_delay`].
pub const LOOKAHEAD_US: u32 = 6_500;

/// The highest bitrate the encoder is set to, bits a second.
pub const MAX_BITRATE: u32 = 128_000;

/// How the encoder is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusConfig {
    /// Bits a second, clamped to 6000…128000. 16000 costs 0.06 PESQ and saves nothing in CPU; 32000 gains 0.01 for a quarter more CPU.
    pub bitrate: u32,
    /// 0 to 10, clamped. 2 costs twice as much as 1 and is heard no better on a telephone band; 0 saves a tenth of 1.
    pub complexity: u8,
    /// Put a coarse copy of each frame into its successor, so that a receiver recovers single losses. Costs 1 µs a frame.
    pub fec: bool,
    /// Loss to arm against, percent: more makes the FEC copy better and the frame itself worse.
    pub expected_loss_percent: u8,
    /// 2.5 ms instead of 6.5 ms of look-ahead: CELT only, without FEC. It wants 48 kbit/s, where it sounds almost as good (PESQ −0.02
    /// against mu-law alone) for a quarter less CPU; at 24 kbit/s it is far worse than speech mode (−0.44 against +0.03).
    pub low_delay: bool,
}

impl Default for OpusConfig {
    fn default() -> Self {
        Self { bitrate: 24_000, complexity: 1, fec: true, expected_loss_percent: 5, low_delay: false }
    }
}

/// libopus refused: its (negative) error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusError(pub i32);

impl fmt::Display for OpusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libopus error {}", self.0)
    }
}

impl std::error::Error for OpusError {}

/// `OPUS_INVALID_PACKET`.
const INVALID_PACKET: OpusError = OpusError(-4);
/// `OPUS_ALLOC_FAIL`, for a size libopus would not tell.
const ALLOC_FAIL: OpusError = OpusError(-7);

/// Memory for a state of libopus, aligned as it wants it (for a pointer). It is set up when it is first used: a call that speaks G.711
/// to its model never is, and what is never written takes no memory of the machine's.
struct State {
    memory: Box<[MaybeUninit<u64>]>,
    is_set_up: bool,
}

impl State {
    fn new(bytes: c_int) -> Result<Self, OpusError> {
        let bytes = usize::try_from(bytes).ok().filter(|n| *n > 0).ok_or(ALLOC_FAIL)?;
        Ok(Self { memory: Box::new_uninit_slice(bytes.div_ceil(8)), is_set_up: false })
    }

    /// The state, set up by `init` unless it has been. libopus clears all of it then, so it need not be cleared before.
    fn ready<T>(&mut self, init: impl FnOnce(*mut T) -> Result<(), OpusError>) -> Result<*mut T, OpusError> {
        let state = self.memory.as_mut_ptr().cast();
        if !self.is_set_up {
            init(state)?;
            self.is_set_up = true;
        }
        Ok(state)
    }
}

fn check(code: c_int) -> Result<usize, OpusError> {
    usize::try_from(code).map_err(|_| OpusError(code))
}

/// An encoder of 20 ms frames. About 32 kB for one channel; nothing is allocated after it is made.
pub struct Encoder {
    state: State,
    rate: SampleRate,
    channels: u8,
    config: OpusConfig,
}

impl Encoder {
    /// A mono encoder that takes samples at `rate`.
    pub fn new(rate: SampleRate, config: &OpusConfig) -> Result<Self, OpusError> {
        Self::with_channels(rate, 1, config)
    }

    /// An encoder of two channels that takes pairs of samples at `rate`, left first: for recordings, never on a call's way.
    pub fn stereo(rate: SampleRate, config: &OpusConfig) -> Result<Self, OpusError> {
        Self::with_channels(rate, 2, config)
    }

    fn with_channels(rate: SampleRate, channels: u8, config: &OpusConfig) -> Result<Self, OpusError> {
        // SAFETY: a pure function of its argument.
        let size = unsafe { opus_sys::opus_encoder_get_size(c_int::from(channels)) };
        Ok(Self { state: State::new(size)?, rate, channels, config: *config })
    }

    /// The state, as the configuration wants it.
    fn ready(&mut self) -> Result<*mut opus_sys::OpusEncoder, OpusError> {
        let (rate, channels, config) = (self.rate.hz() as i32, c_int::from(self.channels), self.config);
        let application = match config.low_delay {
            true => opus_sys::OPUS_APPLICATION_RESTRICTED_LOWDELAY,
            false => opus_sys::OPUS_APPLICATION_VOIP,
        };
        self.state.ready(|state| {
            // SAFETY: the block is as large as libopus asked for and aligned to 8.
            check(unsafe { opus_sys::opus_encoder_init(state, rate, channels, application) })?;
            for (request, value) in [
                (opus_sys::OPUS_SET_BITRATE_REQUEST, config.bitrate.clamp(6_000, MAX_BITRATE) as c_int),
                (opus_sys::OPUS_SET_COMPLEXITY_REQUEST, c_int::from(config.complexity.min(10))),
                (opus_sys::OPUS_SET_SIGNAL_REQUEST, opus_sys::OPUS_SIGNAL_VOICE),
                (opus_sys::OPUS_SET_INBAND_FEC_REQUEST, c_int::from(config.fec)),
                (
                    opus_sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST,
                    c_int::from(config.expected_loss_percent.min(100)),
                ),
                // The model wants an unbroken stream, silence included: its own turn detection listens to it.
                (opus_sys::OPUS_SET_DTX_REQUEST, 0),
            ] {
                // SAFETY: an initialised encoder, and requests that take one int.
                check(unsafe { opus_sys::opus_encoder_ctl(state, request, value) })?;
            }
            Ok(())
        })
    }

    /// Encodes 20 ms into `out`; returns the bytes written.
    ///
    /// Fails if `pcm` is not exactly 20 ms of all channels at the encoder's rate, or if `out` is too small (1275 bytes always do).
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, OpusError> {
        let samples = self.rate.samples(FRAME_MS);
        if pcm.len() != samples * usize::from(self.channels) {
            return Err(OpusError(-1)); // OPUS_BAD_ARG
        }
        let room = out.len().min(i32::MAX as usize) as i32;
        let state = self.ready()?;
        // SAFETY: both pointers cover what their lengths say, `pcm` for each channel; the state is initialised.
        check(unsafe { opus_sys::opus_encode(state, pcm.as_ptr(), samples as c_int, out.as_mut_ptr(), room) })
    }

    /// Samples at the encoder's rate by which its output lags its input.
    pub fn lookahead(&mut self) -> usize {
        let mut samples: c_int = 0;
        let Ok(state) = self.ready() else { return 0 };
        // SAFETY: this request takes a pointer to an int, which outlives the call.
        let code = unsafe {
            opus_sys::opus_encoder_ctl(
                state,
                opus_sys::OPUS_GET_LOOKAHEAD_REQUEST,
                ptr::from_mut(&mut samples),
            )
        };
        check(code).map_or(0, |_| usize::try_from(samples).unwrap_or(0))
    }

    /// Whether it has ever been used.
    #[cfg(test)]
    pub(crate) fn is_set_up(&self) -> bool {
        self.state.is_set_up
    }

    /// Forgets the signal so far.
    pub fn reset(&mut self) {
        if self.state.is_set_up
            && let Ok(state) = self.ready()
        {
            // SAFETY: this request takes no argument and cannot fail on an initialised state.
            unsafe { opus_sys::opus_encoder_ctl(state, opus_sys::OPUS_RESET_STATE) };
        }
    }
}

/// A mono decoder. About 19 kB; nothing is allocated after it is made.
pub struct Decoder {
    state: State,
    rate: SampleRate,
    /// Samples made up since the last packet.
    concealed: usize,
}

impl Decoder {
    /// A decoder that gives samples at `rate`, whatever the packets were coded at.
    pub fn new(rate: SampleRate) -> Result<Self, OpusError> {
        // SAFETY: a pure function of its argument.
        let size = unsafe { opus_sys::opus_decoder_get_size(1) };
        Ok(Self { state: State::new(size)?, rate, concealed: 0 })
    }

    fn ready(&mut self) -> Result<*mut opus_sys::OpusDecoder, OpusError> {
        let rate = self.rate.hz() as i32;
        // SAFETY: the block is as large as libopus asked for and aligned to 8.
        self.state.ready(|state| check(unsafe { opus_sys::opus_decoder_init(state, rate, 1) }).map(|_| ()))
    }

    /// Decodes a packet into `pcm`; returns the samples written. Stereo packets are mixed down.
    ///
    /// Fails if the packet is malformed or holds more than `pcm` has room for; the state is then as before.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, OpusError> {
        // libopus takes an empty packet as "conceal the whole buffer", which is not what a peer may order.
        packet_duration(packet).ok_or(INVALID_PACKET)?;
        self.concealed = 0;
        self.run(packet, pcm, 0)
    }

    /// Recovers the `lost` samples that preceded `successor`, from the copy it carries; without one, conceals.
    pub fn decode_fec(&mut self, successor: &[u8], lost: &mut [i16]) -> Result<usize, OpusError> {
        packet_duration(successor).ok_or(INVALID_PACKET)?;
        self.run(successor, lost, 1)
    }

    /// Makes up all of `lost`, which must be a multiple of 2.5 ms. Fades over successive calls, and ends with
    /// [`MAX_CONCEALED`](crate::conceal::MAX_CONCEALED).
    pub fn conceal(&mut self, lost: &mut [i16]) -> Result<usize, OpusError> {
        let made = self.run(&[], lost, 0)?;
        for sample in lost.iter_mut().take(made) {
            *sample = (f32::from(*sample) * seam(self.concealed, self.rate)) as i16;
            self.concealed += 1;
        }
        Ok(made)
    }

    /// Forgets the signal so far.
    pub fn reset(&mut self) {
        self.concealed = 0;
        if self.state.is_set_up
            && let Ok(state) = self.ready()
        {
            // SAFETY: this request takes no argument and cannot fail on an initialised state.
            unsafe { opus_sys::opus_decoder_ctl(state, opus_sys::OPUS_RESET_STATE) };
        }
    }

    /// Whether it has ever been used.
    #[cfg(test)]
    pub(crate) fn is_set_up(&self) -> bool {
        self.state.is_set_up
    }

    /// Samples a second of what it gives.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    fn run(&mut self, packet: &[u8], pcm: &mut [i16], fec: c_int) -> Result<usize, OpusError> {
        let data = if packet.is_empty() { ptr::null() } else { packet.as_ptr() };
        let room = pcm.len().min(c_int::MAX as usize) as c_int;
        let state = self.ready()?;
        // SAFETY: `pcm` has room for `room` mono samples, `data` covers `len` bytes or is null with length 0; the state is initialised.
        check(unsafe { opus_sys::opus_decode(state, data, packet.len() as i32, pcm.as_mut_ptr(), room, fec) })
    }
}

/// How much audio a packet says it holds, from its first bytes alone (RFC 6716, 3.1): a multiple of 2.5 ms up to
/// 120 ms. `None` if it is empty or breaks rule R5; the payload behind is not looked at.
pub fn packet_duration(packet: &[u8]) -> Option<Ticks> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)], // SILK: 10, 20, 40, 60 ms
        12..=15 => [480, 960][usize::from(config & 1)],            // hybrid: 10, 20 ms
        _ => [120, 240, 480, 960][usize::from(config & 3)],        // CELT: 2.5, 5, 10, 20 ms
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(packet.get(1)? & 0x3F),
    };
    let length = Ticks(frame * frames);
    (length > Ticks(0) && length <= MAX_PACKET).then_some(length)
}

/// Whether the packet carries a coarse copy of its predecessor (LBRR, RFC 6716, 4.2.5).
pub fn has_fec(packet: &[u8]) -> bool {
    // SAFETY: the pointer covers the length; libopus checks the contents.
    !packet.is_empty() && unsafe { opus_sys::opus_packet_has_lbrr(packet.as_ptr(), packet.len() as i32) } == 1
}

/// Whether the packet is one of discontinuous transmission: nothing but its first byte or two (RFC 6716, 2.1.9).
/// The sender may go quiet after it.
pub fn is_dtx(packet: &[u8]) -> bool {
    packet.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::Speech;

    fn encoded(rate: SampleRate, config: &OpusConfig, frames: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(rate, config).unwrap();
        let mut speech = Speech::new(1, rate);
        let mut pcm = vec![0; rate.samples(20)];
        (0..frames)
            .map(|_| {
                speech.fill(&mut pcm);
                let mut out = [0; 1275];
                let n = encoder.encode(&pcm, &mut out).unwrap();
                out[..n].to_vec()
            })
            .collect()
    }

    fn level(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
    }

    #[test]
    fn speech_survives_at_each_rate() {
        for rate in [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz24000] {
            let packets = encoded(rate, &OpusConfig::default(), 50);
            let mut decoder = Decoder::new(rate).unwrap();
            let (mut heard, mut pcm) = (Vec::new(), vec![0; rate.samples(20)]);
            for packet in &packets {
                assert_eq!(packet_duration(packet), Some(Ticks(960)));
                assert_eq!(decoder.decode(packet, &mut pcm), Ok(pcm.len()));
                heard.extend_from_slice(&pcm);
            }
            let mut said = vec![0; heard.len()];
            Speech::new(1, rate).fill(&mut said);
            let ratio = level(&heard[heard.len() / 2..]) / level(&said[said.len() / 2..]);
            assert!((0.7..1.4).contains(&ratio), "{rate:?}: {ratio}");
        }
    }

    #[test]
    fn look_ahead_is_what_is_documented() {
        let rate = SampleRate::Hz8000;
        let mut voip = Encoder::new(rate, &OpusConfig::default()).unwrap();
        assert_eq!(voip.lookahead() as u32 * 1_000_000 / rate.hz(), LOOKAHEAD_US);
        let mut low = Encoder::new(rate, &OpusConfig { low_delay: true, ..OpusConfig::default() }).unwrap();
        assert_eq!(low.lookahead(), 20);
    }

    #[test]
    fn a_lost_frame_comes_back_from_its_successor() {
        let config = OpusConfig { expected_loss_percent: 20, ..OpusConfig::default() };
        let packets = encoded(SampleRate::Hz8000, &config, 60);
        let (mut all, mut lossy) =
            (Decoder::new(SampleRate::Hz8000).unwrap(), Decoder::new(SampleRate::Hz8000).unwrap());
        let (mut truth, mut pcm) = ([0; 160], [0; 160]);
        let mut carried = 0;
        for (i, packet) in packets.iter().enumerate() {
            all.decode(packet, &mut truth).unwrap();
            let fec = packets.get(i + 1).filter(|next| i % 10 == 9 && has_fec(next));
            if let Some(next) = fec {
                assert_eq!(lossy.decode_fec(next, &mut pcm), Ok(160));
                assert!((0.4..2.5).contains(&(level(&pcm) / level(&truth).max(1.0))), "frame {i}");
                carried += 1;
            } else {
                lossy.decode(packet, &mut pcm).unwrap();
            }
        }
        assert!(carried >= 4, "only {carried} packets carried a copy");
    }

    #[test]
    fn concealment_fades() {
        let mut decoder = Decoder::new(SampleRate::Hz8000).unwrap();
        let mut pcm = [0; 160];
        for packet in encoded(SampleRate::Hz8000, &OpusConfig::default(), 20) {
            decoder.decode(&packet, &mut pcm).unwrap();
        }
        let before = level(&pcm);
        for _ in 0..25 {
            assert_eq!(decoder.conceal(&mut pcm), Ok(160));
        }
        assert!(level(&pcm) < before / 4.0);
    }

    #[test]
    fn durations_come_from_the_first_bytes() {
        for (packet, ms_times_two) in [
            (&[0b0000_0000_u8, 1][..], 20),     // SILK NB 10 ms
            (&[0b0001_1000, 1], 120),           // SILK NB 60 ms
            (&[0b0001_0001, 1], 160),           // two of 40 ms
            (&[0b1000_0000, 1], 5),             // CELT NB 2.5 ms
            (&[0b0000_1011, 0b0000_0110], 240), // six of 20 ms
        ] {
            assert_eq!(packet_duration(packet), Some(Ticks(ms_times_two * 24)), "{packet:?}");
        }
        for bad in [&[][..], &[0b0000_1011], &[0b0000_1011, 0], &[0b0001_1011, 3], &[0b0000_1011, 0x3F]] {
            assert_eq!(packet_duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn noise_is_an_error_and_never_more() {
        let mut decoder = Decoder::new(SampleRate::Hz8000).unwrap();
        let mut pcm = vec![0; SampleRate::Hz8000.samples(120)];
        let mut seed = 1_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as u32
        };
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let packet: Vec<u8> = (0..random() % 90).map(|_| random() as u8).collect();
            match decoder.decode(&packet, &mut pcm) {
                Ok(n) => {
                    taken += 1;
                    assert_eq!(Some(n), packet_duration(&packet).map(|t| t.samples(SampleRate::Hz8000)));
                }
                Err(_) => refused += 1,
            }
            let _ = has_fec(&packet);
        }
        assert!(taken > 100 && refused > 100, "{taken} {refused}");
        assert_eq!(decoder.decode(&[], &mut pcm), Err(INVALID_PACKET));
    }
}
