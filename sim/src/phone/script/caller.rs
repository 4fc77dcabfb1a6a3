//! The caller following a script, 20 ms at a time. Pure: what is heard comes in, what is said goes out.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Script, Step};
use crate::phone::ear::Ear;
use crate::phone::playback::FRAME;
use crate::wav;

/// Time between two keys: 100 ms of tone and a pause, as a quick finger does.
const KEY_SPACING: Duration = Duration::from_millis(250);

/// What the caller does in 20 ms.
#[derive(Debug, Default)]
pub struct CallerFrame {
    /// What is said; nothing for silence.
    pub samples: Option<[i16; FRAME]>,
    /// The line sends no frame at all.
    pub muted: bool,
    /// A key was pressed.
    pub digit: Option<char>,
    /// The phone is put down.
    pub hang_up: bool,
    /// Steps that began, by index, with a word for the timeline.
    pub began: Vec<(usize, String)>,
    /// Steps whose wait ran out, by index.
    pub timed_out: Vec<usize>,
    /// A line ended with this frame.
    pub line_ended: bool,
    /// A step that cannot be done, with the reason.
    pub failed: Option<(usize, String)>,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    Speaking(VecDeque<i16>),
    Until(Duration),
    Muted(Duration),
    Keys { left: VecDeque<char>, next: Duration },
    Waiting { since: Duration },
}

/// A step with the sound it needs: files are read and rates converted before the call, because both take longer than a beat.
#[derive(Debug)]
struct Ready {
    step: Step,
    sound: Result<Vec<i16>, String>,
}

impl Ready {
    fn new(step: &Step) -> Self {
        let sound = match step {
            Step::Say(clip) | Step::InterruptAfter { clip, .. } => Ok(clip.samples_8k()),
            Step::SaySamples(samples) => Ok(samples.clone()),
            Step::SayWav(path) => wav::read_8k(path).map_err(|e| format!("{}: {e}", path.display())),
            _ => Ok(vec![]),
        };
        Self { step: step.clone(), sound }
    }

    /// Its sound, once.
    fn speak(&mut self) -> Result<Doing, String> {
        std::mem::replace(&mut self.sound, Ok(vec![])).map(|samples| Doing::Speaking(samples.into()))
    }
}

/// A caller in the middle of a script.
#[derive(Debug)]
pub struct Caller {
    steps: Vec<Ready>,
    next: usize,
    doing: Doing,
}

impl Caller {
    /// A caller at the first step. Reads the script's files and makes its sounds ready: takes milliseconds a line.
    pub fn new(script: &Script) -> Self {
        Self { steps: script.steps.iter().map(Ready::new).collect(), next: 0, doing: Doing::Nothing }
    }

    /// How many steps are done, the one under way not counted.
    pub fn done(&self) -> usize {
        self.next - usize::from(!matches!(self.doing, Doing::Nothing))
    }

    /// How many steps there are.
    pub fn total(&self) -> usize {
        self.steps.len()
    }

    /// The next 20 ms, beginning at `now` (any axis, never going back); `ear` has heard everything before it.
    pub fn tick(&mut self, now: Duration, ear: &Ear) -> CallerFrame {
        let mut frame = CallerFrame::default();
        // Each round ends the present step or leaves; a step takes no time by itself, so several may pass in one frame.
        loop {
            match &mut self.doing {
                Doing::Speaking(left) => {
                    let n = left.len().min(FRAME);
                    let mut samples = [0; FRAME];
                    samples.iter_mut().zip(left.drain(..n)).for_each(|(to, from)| *to = from);
                    if left.is_empty() {
                        frame.line_ended = true;
                        self.doing = Doing::Nothing;
                    }
                    frame.samples = Some(samples);
                    return frame;
                }
                Doing::Until(end) if now < *end => return frame,
                Doing::Muted(end) if now < *end => {
                    frame.muted = true;
                    return frame;
                }
                Doing::Keys { left, next } if !left.is_empty() => {
                    if now >= *next {
                        frame.digit = left.pop_front();
                        *next = now + KEY_SPACING;
                    }
                    return frame;
                }
                Doing::Keys { next, .. } if now < *next => return frame,
                Doing::Waiting { since } => {
                    let waited = now - *since;
                    if !self.wait_is_over(waited, ear, &mut frame) {
                        return frame;
                    }
                }
                Doing::Nothing | Doing::Until(_) | Doing::Muted(_) | Doing::Keys { .. } => {
                    self.doing = Doing::Nothing;
                    if self.next >= self.steps.len() {
                        return frame;
                    }
                    self.begin(now, &mut frame);
                    if frame.hang_up {
                        return frame;
                    }
                }
            }
        }
    }

    fn wait_is_over(&mut self, waited: Duration, ear: &Ear, frame: &mut CallerFrame) -> bool {
        let index = self.next - 1;
        let ready = &mut self.steps[index];
        let (met, timeout) = match &ready.step {
            Step::WaitForSpeech { timeout } => (ear.speaking_for().is_some(), *timeout),
            Step::WaitForSilence { quiet, timeout } => (ear.quiet_for().min(waited) >= *quiet, *timeout),
            Step::InterruptAfter { heard, timeout, .. } => (ear.speaking_for() >= Some(*heard), *timeout),
            _ => (true, Duration::MAX),
        };
        if !met && waited < timeout {
            return false;
        }
        if !met {
            frame.timed_out.push(index);
        }
        self.doing = Doing::Nothing;
        if let Step::InterruptAfter { clip, .. } = &ready.step {
            frame.began.push((index, format!("say {}", clip.name)));
            self.doing = ready.speak().unwrap_or(Doing::Nothing);
        }
        true
    }

    fn begin(&mut self, now: Duration, frame: &mut CallerFrame) {
        let index = self.next;
        self.next += 1;
        let ready = &mut self.steps[index];
        let (word, doing) = match &ready.step {
            Step::Say(clip) => (format!("say {}", clip.name), ready.speak()),
            Step::SayWav(path) => (format!("say {}", path.display()), ready.speak()),
            Step::SaySamples(_) => ("say samples".to_owned(), ready.speak()),
            Step::Pause(time) => ("pause".to_owned(), Ok(Doing::Until(now + *time))),
            Step::Mute(time) => ("mute".to_owned(), Ok(Doing::Muted(now + *time))),
            Step::Dtmf(keys) => {
                ("dtmf".to_owned(), Ok(Doing::Keys { left: keys.chars().collect(), next: now }))
            }
            Step::WaitForSpeech { .. } => ("wait for speech".to_owned(), Ok(Doing::Waiting { since: now })),
            Step::WaitForSilence { .. } => ("wait for silence".to_owned(), Ok(Doing::Waiting { since: now })),
            Step::InterruptAfter { .. } => {
                ("wait to interrupt".to_owned(), Ok(Doing::Waiting { since: now }))
            }
            Step::HangUp => {
                frame.hang_up = true;
                ("hang up".to_owned(), Ok(Doing::Nothing))
            }
        };
        frame.began.push((index, word));
        self.doing = doing.unwrap_or_else(|why| {
            frame.failed = Some((index, why));
            Doing::Nothing
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::clip;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs a script against a far side that speaks from `speech.0` to `speech.1` (ms); returns what was done at which ms.
    fn run(steps: Vec<Step>, speech: std::ops::Range<u64>, until_ms: u64) -> Vec<(u64, String)> {
        let mut caller = Caller::new(&Script::new(steps));
        let mut ear = Ear::default();
        let mut log = vec![];
        for t in (0..until_ms).step_by(20) {
            let now = Duration::from_millis(t);
            let frame = caller.tick(now, &ear);
            log.extend(frame.began.iter().map(|(_, word)| (t, word.clone())));
            log.extend(frame.timed_out.iter().map(|n| (t, format!("timeout {n}"))));
            log.extend(frame.digit.map(|d| (t, format!("key {d}"))));
            log.extend(frame.line_ended.then(|| (t, "line ended".into())));
            ear.hear(now, &[if speech.contains(&t) { 4_000 } else { 0 }; FRAME]);
        }
        log
    }

    fn at(log: &[(u64, String)], what: &str) -> u64 {
        log.iter().find(|(_, w)| w == what).unwrap_or_else(|| panic!("no {what} in {log:?}")).0
    }

    #[test]
    fn a_reply_waits_for_the_greeting_and_its_end() {
        let quiet = Duration::from_millis(500);
        let steps = vec![
            Step::WaitForSpeech { timeout: 5 * SECOND },
            Step::WaitForSilence { quiet, timeout: 5 * SECOND },
            Step::Say(clip("hello").unwrap()),
            Step::HangUp,
        ];
        let log = run(steps, 300..1_300, 4_000);
        assert_eq!(at(&log, "wait for silence"), 320, "speech from 300 ms on is known at 320");
        assert_eq!(at(&log, "say hello"), 1_800);
        let length = clip("hello").unwrap().samples_8k().len().div_ceil(FRAME) as u64 * 20;
        assert_eq!(at(&log, "line ended"), 1_800 + length - 20);
        assert_eq!(at(&log, "hang up"), 1_800 + length);
    }

    #[test]
    fn an_interruption_comes_in_the_middle() {
        let clip = clip("cancelled").unwrap();
        let heard = Duration::from_millis(600);
        let log = run(vec![Step::InterruptAfter { heard, clip, timeout: 5 * SECOND }], 400..3_000, 2_000);
        assert_eq!(at(&log, "say cancelled"), 1_000);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let clip = clip("cancelled").unwrap();
        let steps = vec![
            Step::WaitForSpeech { timeout: SECOND },
            Step::InterruptAfter { heard: SECOND, clip, timeout: SECOND },
        ];
        let log = run(steps, 9_000..9_001, 4_000);
        assert_eq!(
            (at(&log, "timeout 0"), at(&log, "timeout 1"), at(&log, "say cancelled")),
            (1_000, 2_000, 2_000)
        );
    }

    #[test]
    fn keys_are_spaced_and_a_mute_ends() {
        let log = run(vec![Step::Dtmf("1#".into()), Step::Mute(SECOND), Step::HangUp], 0..0, 2_000);
        assert_eq!(
            (at(&log, "key 1"), at(&log, "key #"), at(&log, "mute"), at(&log, "hang up")),
            (0, 260, 520, 1_520)
        );
    }

    #[test]
    fn a_missing_file_fails_and_the_call_goes_on() {
        let mut caller = Caller::new(&Script::new([Step::SayWav("/no/such.wav".into()), Step::HangUp]));
        let frame = caller.tick(Duration::ZERO, &Ear::default());
        assert_eq!(frame.failed.map(|f| f.0), Some(0));
        assert!(frame.hang_up);
    }
}
