//! What the caller does: a list of steps, each begun when the one before it is done.

mod caller;
mod text;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub use caller::{Caller, CallerFrame};
pub use text::ScriptError;

use crate::speech::Clip;

/// How long a step waits for the other side unless it says otherwise. Longer than the slowest reply that a person would wait for.
pub const WAIT: Duration = Duration::from_secs(15);

/// One step of the caller.
#[derive(Debug, Clone)]
pub enum Step {
    /// Say a recorded line.
    Say(&'static Clip),
    /// Say what is in a WAV file of any rate.
    SayWav(PathBuf),
    /// Say these samples, 8 kHz.
    SaySamples(Vec<i16>),
    /// Be silent for a time.
    Pause(Duration),
    /// Wait until the other side is heard speaking.
    WaitForSpeech {
        /// Go on after this time anyway, with a note in the report.
        timeout: Duration,
    },
    /// Wait until nothing has been heard for `quiet`.
    WaitForSilence {
        /// How long it must have been quiet.
        quiet: Duration,
        /// Go on after this time anyway, with a note in the report.
        timeout: Duration,
    },
    /// Wait until the other side has been speaking for `heard`, then say a line without waiting for the end.
    InterruptAfter {
        /// How much of the other side's utterance is heard first.
        heard: Duration,
        /// What is said.
        clip: &'static Clip,
        /// Speak after this time anyway, with a note in the report.
        timeout: Duration,
    },
    /// Press keys, 250 ms apart.
    Dtmf(String),
    /// Send nothing at all for a time, as muted handsets of some networks do; timestamps go on.
    Mute(Duration),
    /// Put the phone down.
    HangUp,
}

/// A caller's whole part. An empty one listens until the other side hangs up.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The steps in order.
    pub steps: Vec<Step>,
}

impl Script {
    /// A script of these steps.
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into() }
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    /// The text form; see the lines in [`Script::HELP`].
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        text::parse(text).map(|steps| Self { steps })
    }
}
