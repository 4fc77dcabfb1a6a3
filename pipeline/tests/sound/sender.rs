//! A stranger's Opus encoder, as the model has one: any rate, libopus' own settings but for mode and bitrate.

use std::ffi::c_int;

/// What an encoder is made for.
#[derive(Clone, Copy)]
pub enum Made {
    /// Speech: what WebRTC stacks set for a mono track.
    ForSpeech = opus_sys::OPUS_APPLICATION_VOIP as isize,
    /// Anything: transform coding from some 20 kbit/s on, which keeps tones and the whole band.
    #[allow(dead_code)] // the renderer sends speech alone
    ForAnything = 2049,
}

/// Encodes 20 ms a packet.
pub struct Sender {
    state: Vec<u64>,
    samples: usize,
}

impl Sender {
    /// Takes samples at `hz`, which is one of Opus' rates.
    pub fn new(hz: u32, bitrate: u32, made: Made) -> Self {
        // SAFETY: a pure function of its argument.
        let size = unsafe { opus_sys::opus_encoder_get_size(1) };
        let mut sender = Self { state: vec![0; size as usize / 8 + 1], samples: hz as usize / 50 };
        let state = sender.state.as_mut_ptr().cast();
        // SAFETY: the block is as large as libopus asked for and aligned to 8; the request takes one int.
        unsafe {
            assert_eq!(opus_sys::opus_encoder_init(state, hz as i32, 1, made as c_int), opus_sys::OPUS_OK);
            let request = opus_sys::OPUS_SET_BITRATE_REQUEST;
            assert_eq!(opus_sys::opus_encoder_ctl(state, request, bitrate as c_int), opus_sys::OPUS_OK);
        }
        sender
    }

    /// Samples in a packet.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// One packet.
    pub fn encode(&mut self, pcm: &[i16]) -> Vec<u8> {
        assert_eq!(pcm.len(), self.samples);
        let mut out = vec![0; 1275];
        let state = self.state.as_mut_ptr().cast();
        // SAFETY: both pointers cover what their lengths say; the state is initialised.
        let n = unsafe {
            opus_sys::opus_encode(state, pcm.as_ptr(), pcm.len() as c_int, out.as_mut_ptr(), out.len() as i32)
        };
        out.truncate(usize::try_from(n).expect("libopus encodes any sound"));
        out
    }
}
