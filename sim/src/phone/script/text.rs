//! The text form of a script.

use std::time::Duration;

use super::{Script, Step, WAIT};
use crate::speech::clip;

impl Script {
    /// The text form, for people who write one.
    pub const HELP: &str = "\
One step a line; empty lines and what follows # are ignored. Times: 500ms, 1.5s, 2s.
  say CLIP                         say a recorded line (hello, weasels, telephone-number, …)
  wav PATH                         say what is in a WAV file (the rest of the line is the path)
  pause TIME                       be silent
  wait-speech [TIMEOUT]            until the other side is heard (15s)
  wait-silence TIME [TIMEOUT]      until nothing has been heard for TIME (15s)
  interrupt TIME CLIP [TIMEOUT]    once the other side has spoken for TIME, say CLIP over it (15s)
  dtmf DIGITS                      press keys: 0-9 * # A-D
  mute TIME                        send nothing
  hangup                           put the phone down
";
}

/// A line that is not a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub problem: String,
}

pub(super) fn parse(text: &str) -> Result<Vec<Step>, ScriptError> {
    let mut steps = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        // A pound key is a comment sign everywhere but in `dtmf`.
        let line = match text.lines().nth(n).map(str::trim) {
            Some(whole) if whole.starts_with("dtmf") => whole,
            _ => line,
        };
        if !line.is_empty() {
            steps.push(step(line).map_err(|problem| ScriptError { line: n + 1, problem })?);
        }
    }
    Ok(steps)
}

fn step(line: &str) -> Result<Step, String> {
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (verb, words.as_slice()) {
        ("say", [name]) => Ok(Step::Say(find(name)?)),
        ("wav", [_, ..]) => Ok(Step::SayWav(rest.into())),
        ("pause", [time]) => Ok(Step::Pause(duration(time)?)),
        ("wait-speech", []) => Ok(Step::WaitForSpeech { timeout: WAIT }),
        ("wait-speech", [timeout]) => Ok(Step::WaitForSpeech { timeout: duration(timeout)? }),
        ("wait-silence", [quiet]) => Ok(Step::WaitForSilence { quiet: duration(quiet)?, timeout: WAIT }),
        ("wait-silence", [quiet, timeout]) => {
            Ok(Step::WaitForSilence { quiet: duration(quiet)?, timeout: duration(timeout)? })
        }
        ("interrupt", [heard, name]) => {
            Ok(Step::InterruptAfter { heard: duration(heard)?, clip: find(name)?, timeout: WAIT })
        }
        ("interrupt", [heard, name, timeout]) => Ok(Step::InterruptAfter {
            heard: duration(heard)?,
            clip: find(name)?,
            timeout: duration(timeout)?,
        }),
        ("dtmf", [digits]) if digits.chars().all(|d| "0123456789*#ABCD".contains(d)) => {
            Ok(Step::Dtmf((*digits).to_owned()))
        }
        ("dtmf", _) => Err("dtmf takes keys of 0-9 * # A-D".into()),
        ("mute", [time]) => Ok(Step::Mute(duration(time)?)),
        ("hangup", []) => Ok(Step::HangUp),
        _ => Err(format!("`{line}` is not a step; they are:\n{}", Script::HELP)),
    }
}

fn find(name: &str) -> Result<&'static crate::speech::Clip, String> {
    clip(name).ok_or_else(|| {
        let names: Vec<&str> = crate::speech::CLIPS.iter().map(|c| c.name).collect();
        format!("no clip named `{name}`; they are {}", names.join(", "))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; write 500ms or 1.5s");
    let (number, unit) = text.split_at(text.find(char::is_alphabetic).ok_or_else(wrong)?);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_text() {
        let script: Script = "
            # the caller of the demonstration
            wait-speech
            wait-silence 700ms 20s   # the greeting is over
            say something-wrong
            wav /tmp/my voice.wav
            interrupt 1.5s cancelled
            dtmf 12#
            mute 2s
            pause 0.25s
            hangup
        "
        .parse()
        .unwrap();
        let [
            Step::WaitForSpeech { timeout },
            Step::WaitForSilence { quiet, timeout: longer },
            Step::Say(line),
            Step::SayWav(path),
            Step::InterruptAfter { heard, clip, .. },
            Step::Dtmf(keys),
            Step::Mute(_),
            Step::Pause(pause),
            Step::HangUp,
        ] = &script.steps[..]
        else {
            panic!("{:?}", script.steps)
        };
        assert_eq!((*timeout, *quiet, *longer), (WAIT, Duration::from_millis(700), Duration::from_secs(20)));
        assert_eq!((line.name, clip.name, keys.as_str()), ("something-wrong", "cancelled", "12#"));
        assert_eq!((*heard, *pause), (Duration::from_millis(1_500), Duration::from_millis(250)));
        assert_eq!(path.to_str(), Some("/tmp/my voice.wav"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let problem = |text: &str| text.parse::<Script>().unwrap_err();
        assert_eq!(problem("hangup\nsay nonsense").line, 2);
        assert!(problem("say nonsense").problem.contains("telephone-number"));
        assert!(problem("pause 5").problem.contains("500ms"));
        assert!(problem("pause -5s").problem.contains("500ms"));
        assert!(problem("dance").problem.contains("wait-speech"));
        assert!(problem("dtmf 12x").problem.contains("0-9"));
    }
}
