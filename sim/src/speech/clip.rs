//! The recordings, embedded, and what is said in each.

use std::io::Cursor;
use std::sync::OnceLock;
use std::time::Duration;

use super::resample::resample;

/// Who would plausibly say a line. Only advice: any party may play any clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A person calling a company.
    Caller,
    /// The company's voice agent.
    Aria,
    /// Either of them.
    Either,
}

/// One recording, 16 kHz mono 16-bit, with the quiet at its ends that the studio left (40 to 250 ms).
#[derive(Clone, Copy)]
pub struct Clip {
    /// Its name in scripts: lower case, words joined by `-`.
    pub name: &'static str,
    /// What is said.
    pub text: &'static str,
    /// Who would say it.
    pub role: Role,
    /// The file it was in the Asterisk core sounds.
    pub source: &'static str,
    wav: &'static [u8],
}

impl Clip {
    /// The recording as it is stored, 16 000 samples a second.
    pub fn samples_16k(&self) -> Vec<i16> {
        let mut reader =
            hound::WavReader::new(Cursor::new(self.wav)).expect("the embedded files are WAV files");
        reader.samples::<i16>().map(|s| s.expect("the embedded files are whole")).collect()
    }

    /// The same through an 8 kHz telephone line: 8 000 samples a second, band-limited to 3.7 kHz.
    pub fn samples_8k(&self) -> Vec<i16> {
        let convert = || resample(&self.samples_16k(), 16_000, 8_000);
        // Filtering takes milliseconds, and a load test asks for the same few clips thousands of times.
        match CLIPS.iter().position(|c| c.name == self.name) {
            Some(index) => NARROW[index].get_or_init(convert).clone(),
            None => convert(),
        }
    }

    /// How long it lasts, from its size: 44 bytes of header, then two bytes a sample.
    pub fn duration(&self) -> Duration {
        let samples = (self.wav.len() as u64).saturating_sub(44) / 2;
        Duration::from_nanos(samples * 1_000_000_000 / 16_000)
    }
}

static NARROW: [OnceLock<Vec<i16>>; CLIPS.len()] = [const { OnceLock::new() }; CLIPS.len()];

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({}, {:.2} s)", self.name, self.duration().as_secs_f64())
    }
}

/// The clip of that name, if there is one.
pub fn clip(name: &str) -> Option<&'static Clip> {
    CLIPS.iter().find(|c| c.name == name)
}

macro_rules! clips {
    ($($name:literal $role:ident $source:literal $text:literal;)*) => {
        /// Every recording, the caller's lines first.
        pub const CLIPS: &[Clip] = &[$(Clip {
            name: $name,
            text: $text,
            role: Role::$role,
            source: $source,
            wav: include_bytes!(concat!("clips/", $name, ".wav")),
        }),*];
    };
}

clips! {
    "hello" Caller "hello" "Hello.";
    "something-wrong" Caller "something-terribly-wrong" "Something is terribly wrong!";
    "weasels" Caller "tt-weasels" "Weasels have eaten our phone system.";
    "not-answering" Caller "number-not-answering" "The number is not answering.";
    "last-call" Caller "info-about-last-call" "Information about your last call.";
    "telephone-number" Caller "telephone-number" "Telephone number.";
    "five" Caller "digits/5" "Five.";
    "two" Caller "digits/2" "Two.";
    "lima" Caller "phonetic/l_p" "Lima.";
    "quebec" Caller "phonetic/q_p" "Quebec.";
    "no" Caller "vm-no" "No.";
    "cancelled" Caller "cancelled" "Cancelled.";
    "try-again" Caller "please-try-again" "Please try again.";
    "thank-you" Caller "auth-thankyou" "Thank you.";
    "goodbye" Either "goodbye" "Goodbye!";
    "one-moment" Either "one-moment-please" "One moment, please.";
    "im-sorry" Either "im-sorry" "I'm sorry.";
    "thank-you-for-calling" Aria "basic-pbx-ivr-main" "Thank you for calling Super Awesome Company, Waldo's premier provider of perfect products.";
    "sorry-problems" Aria "sorry-youre-having-problems" "Sorry you're having problems.";
    "not-understood" Aria "vm-sorry" "I'm sorry I did not understand your response.";
    "phone-number-please" Aria "privacy-prompt" "Please enter your phone number, starting with the area code.";
    "number-i-have" Aria "vm-num-i-have" "The number I have is";
    "hold-time" Aria "queue-holdtime" "The estimated hold time is currently";
    "less-than" Aria "queue-less-than" "less than";
    "minutes" Aria "queue-minutes" "minutes";
    "please-hold" Aria "priv-introsaved" "Thank you. Please hold, while I attempt to connect you with your party!";
    "message-saved" Aria "vm-msgsaved" "Your message has been saved.";
    "all-busy" Aria "queue-periodic-announce" "All of our representatives are currently busy. Please stay on the line and your call will be answered by the next available representative.";
    "nobody-available" Aria "vm-nobodyavail" "Nobody is available to take your call at the moment.";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn every_clip_is_speech_of_a_useful_length() {
        assert!(CLIPS.len() >= 12);
        for clip in CLIPS {
            let wide = clip.samples_16k();
            let seconds = wide.len() as f64 / 16_000.0;
            assert!((0.5..=8.0).contains(&seconds), "{clip:?}");
            assert!((clip.duration().as_secs_f64() - seconds).abs() < 1e-4, "{clip:?}");
            assert!((1_500.0..8_000.0).contains(&rms(&wide)), "{clip:?} has level {}", rms(&wide));
        }
    }

    #[test]
    fn the_narrow_form_has_half_the_samples_and_nearly_all_the_energy() {
        for clip in CLIPS {
            let (wide, narrow) = (clip.samples_16k(), clip.samples_8k());
            assert_eq!(narrow.len(), wide.len().div_ceil(2), "{clip:?}");
            let ratio = rms(&narrow) / rms(&wide);
            assert!((0.75..1.02).contains(&ratio), "{clip:?}: {ratio}");
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for clip in CLIPS {
            assert_eq!(super::clip(clip.name).map(|c| c.text), Some(clip.text));
            assert_eq!(CLIPS.iter().filter(|c| c.name == clip.name).count(), 1);
        }
        assert!(super::clip("no-such-clip").is_none());
    }
}
