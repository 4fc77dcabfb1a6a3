//! Packets, and their absence, made into samples at the media's rate.

use crate::conceal::PitchRepeater;
use crate::frame::{FRAME_MS, MediaFormat, ModelCodec, Packet};
use crate::g711::{self, Law};
use crate::opus::{self, Decoder};
use crate::resample::Resampler;
use crate::units::{SampleRate, Ticks};

/// A row of samples that fills at the end and empties from the front.
pub(crate) struct Samples {
    pub(crate) buffer: Box<[i16]>,
    pub(crate) len: usize,
}

impl Samples {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buffer: vec![0; capacity].into_boxed_slice(), len: 0 }
    }

    pub(crate) fn room(&mut self) -> &mut [i16] {
        &mut self.buffer[self.len..]
    }

    pub(crate) fn front(&self, n: usize) -> &[i16] {
        &self.buffer[..n.min(self.len)]
    }

    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.len);
        self.buffer.copy_within(n..self.len, 0);
        self.len -= n;
    }

    pub(crate) fn pad_to(&mut self, len: usize) {
        let len = len.min(self.buffer.len());
        if len > self.len {
            self.buffer[self.len..len].fill(0);
            self.len = len;
        }
    }
}

/// The parts that turn a packet, or its absence, into samples.
pub(crate) struct Player<'a> {
    pub(crate) format: MediaFormat,
    pub(crate) decoder: &'a mut Decoder,
    pub(crate) repeater: &'a mut PitchRepeater,
    pub(crate) widen: Option<&'a mut Resampler>,
    pub(crate) narrow: &'a mut Samples,
    pub(crate) pcm: &'a mut Samples,
}

impl Player<'_> {
    /// Decodes a packet; says whether it could. If not, its time is made up.
    pub(crate) fn packet(&mut self, packet: &Packet) -> bool {
        let payload = packet.payload();
        let law = match packet.codec {
            ModelCodec::Opus => {
                return match self.decoder.decode(payload, self.pcm.room()) {
                    Ok(n) => {
                        self.pcm.len += n;
                        true
                    }
                    Err(_) => {
                        let length = opus::packet_duration(payload).unwrap_or(Ticks(960));
                        self.conceal(ModelCodec::Opus, length);
                        false
                    }
                };
            }
            ModelCodec::Pcmu => Law::Mu,
            ModelCodec::Pcma => Law::A,
        };
        self.g711(payload.len(), |repeater, samples| {
            g711::decode(law, payload, samples);
            repeater.pass(samples);
        });
        true
    }

    pub(crate) fn recover(&mut self, successor: &Packet, lost: Ticks) {
        let n = self.opus_samples(lost);
        let room = self.pcm.room();
        let n = n.min(room.len());
        match self.decoder.decode_fec(successor.payload(), &mut room[..n]) {
            Ok(n) => self.pcm.len += n,
            Err(_) => self.conceal(ModelCodec::Opus, lost),
        }
    }

    pub(crate) fn conceal(&mut self, codec: ModelCodec, length: Ticks) {
        match codec {
            ModelCodec::Opus => {
                let n = self.opus_samples(length);
                let room = self.pcm.room();
                let n = n.min(room.len());
                room[..n].fill(0);
                // Should libopus refuse, the time is filled with silence: the beat must not slip.
                let _ = self.decoder.conceal(&mut room[..n]);
                self.pcm.len += n;
            }
            ModelCodec::Pcmu | ModelCodec::Pcma => {
                self.g711(length.samples(SampleRate::Hz8000), |repeater, samples| repeater.conceal(samples));
            }
        }
    }

    /// Ends the sound of `codec` for another's: what it would have gone on with, as much as `tail` has room for.
    pub(crate) fn lead_out(&mut self, codec: ModelCodec, tail: &mut [i16]) {
        tail.fill(0);
        if codec == ModelCodec::Opus {
            // Should libopus refuse, it ends in silence. What it knows of the voice is left to it: it may be back soon.
            let _ = self.decoder.conceal(tail);
            return;
        }
        let Some(widen) = self.widen.as_mut() else {
            self.repeater.conceal(tail);
            self.repeater.reset();
            return;
        };
        // What is too short for the resampler yet is real sound and is played; behind it comes what is made up.
        let (block_in, block_out) = (widen.block_in(), widen.block_out());
        let mut real = self.narrow.len * block_out / block_in;
        let mut made = 0;
        while made < tail.len() && self.pcm.room().len() >= block_out {
            let missing = block_in - self.narrow.len;
            self.repeater.conceal(&mut self.narrow.room()[..missing]);
            let room = self.pcm.room();
            widen.process(&self.narrow.buffer[..block_in], &mut room[..block_out]);
            let n = (block_out - real).min(tail.len() - made);
            tail[made..made + n].copy_from_slice(&room[real..real + n]);
            made += n;
            self.pcm.len += real;
            (self.narrow.len, real) = (0, 0);
        }
        self.narrow.len = 0;
        widen.reset();
        self.repeater.reset();
    }

    pub(crate) fn silence(&mut self, length: Ticks) {
        self.pcm.pad_to(self.pcm.len + length.samples(self.format.rate));
    }

    /// Completes what was begun with silence.
    pub(crate) fn complete(&mut self, whole: usize) {
        if self.widen.is_some() && self.narrow.len > 0 {
            let missing = SampleRate::Hz8000.samples(FRAME_MS) - self.narrow.len;
            self.g711(missing, |_, samples| samples.fill(0));
        }
        self.pcm.pad_to(whole);
    }

    /// libopus conceals in steps of 2.5 ms.
    fn opus_samples(&self, length: Ticks) -> usize {
        let step = self.format.rate.samples(5) / 2;
        (length.samples(self.format.rate) / step).max(1) * step
    }

    /// Adds `n` samples of 8 kHz, converted if the media has another rate.
    fn g711(&mut self, n: usize, make: impl FnOnce(&mut PitchRepeater, &mut [i16])) {
        let Some(widen) = self.widen.as_mut() else {
            let room = self.pcm.room();
            let n = n.min(room.len());
            make(self.repeater, &mut room[..n]);
            self.pcm.len += n;
            return;
        };
        let room = self.narrow.room();
        let n = n.min(room.len());
        make(self.repeater, &mut room[..n]);
        self.narrow.len += n;
        let (block_in, block_out) = (widen.block_in(), widen.block_out());
        while self.narrow.len >= block_in && self.pcm.room().len() >= block_out {
            widen.process(self.narrow.front(block_in), &mut self.pcm.room()[..block_out]);
            self.pcm.len += block_out;
            self.narrow.consume(block_in);
        }
    }
}
