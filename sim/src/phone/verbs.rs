//! What each verb of a document does to the call.

use std::time::Duration;

use super::call::{Call, Next, Wake};
use super::g711;
use super::playback::FRAME;
use super::report::{Ended, EndedBy};
use super::timeline::Moment;
use super::twiml::{self, Target, Verb};
use crate::speech;

/// Speaking rate of the stand-in for Twilio's speech: about 15 characters a second.
const SAY_CHARACTERS_PER_S: u64 = 15;
/// A recording longer than this is cut: nobody waits for more in a test.
const MAX_PLAY: Duration = Duration::from_secs(120);

impl Call {
    /// Twilio's own apology for a missing or broken document.
    pub(super) async fn apologise(&mut self, code: u32) -> Next {
        self.set.diary.now(Moment::Spoken("An application error has occurred. Goodbye.".into()));
        match self.sound(stand_in(Duration::from_secs(3))).await {
            Next::On => Next::End(Ended::new(EndedBy::Failure, format!("no usable document: {code}"))),
            other => other,
        }
    }

    pub(super) async fn verb(&mut self, verb: Verb) -> Next {
        self.set.diary.now(Moment::Verb(verb.name()));
        match verb {
            Verb::Say { text } => {
                let time = spoken_in(&text);
                self.set.diary.now(Moment::Spoken(text));
                self.sound(stand_in(time)).await
            }
            Verb::Play { url } => self.play(url).await,
            Verb::Pause { seconds } => self.sound(silence(Duration::from_secs(seconds.into()))).await,
            Verb::Hangup => Next::End(Ended::new(EndedBy::Document, "<Hangup>")),
            Verb::Reject { .. } if self.line.is_some() => {
                self.warn(twiml::Warning::new(12_200, "<Reject> after the answer"));
                Next::On
            }
            Verb::Reject { .. } => Next::End(Ended::new(EndedBy::Document, "<Reject>")),
            Verb::Redirect(target) => Next::Fetch(target, self.set.identity.params("in-progress")),
            Verb::Dial(dial) => self.dial(dial).await,
            Verb::Connect { action, stream } => match self.stream(stream).await {
                Next::On => match action {
                    Some(target) => Next::Fetch(target, self.set.identity.params("in-progress")),
                    None => Next::On,
                },
                other => other,
            },
        }
    }

    async fn play(&mut self, url: String) -> Next {
        let question = self.question(&Target { url, post: false }, vec![]);
        let asker = self.set.asker.clone();
        let fetched = self.during(super::recording::fetch(asker, question.url)).await;
        match fetched {
            Err(next) => next,
            Ok(Ok(mut samples)) => {
                samples.truncate(MAX_PLAY.as_secs() as usize * 8_000);
                self.sound(samples).await
            }
            Ok(Err(why)) => {
                self.warn(twiml::Warning::new(12_300, format!("<Play>: {why}")));
                Next::On
            }
        }
    }

    /// Lets the caller hear samples, at 8 kHz, to their end.
    pub(super) async fn sound(&mut self, samples: Vec<i16>) -> Next {
        for chunk in samples.chunks(FRAME) {
            let mut frame = [0; FRAME];
            frame[..chunk.len()].copy_from_slice(chunk);
            loop {
                match self.wake(std::future::pending::<()>()).await {
                    Wake::Beat(beat) => {
                        if let (_, Some(next)) = self.turn(beat, &frame) {
                            return next;
                        }
                        break;
                    }
                    Wake::Command(command) => return self.command(command),
                    Wake::Done(()) => {}
                }
            }
        }
        Next::On
    }
}

/// How long Twilio takes to say it, at least a second.
pub(super) fn spoken_in(text: &str) -> Duration {
    Duration::from_secs((text.chars().count() as u64 / SAY_CHARACTERS_PER_S).max(1))
}

pub(super) fn silence(time: Duration) -> Vec<i16> {
    vec![0; (time.as_millis() * 8) as usize]
}

/// Speech of that length in place of Twilio's own voice, so that a caller who waits for speech hears some.
fn stand_in(time: Duration) -> Vec<i16> {
    let clip = speech::clip("nobody-available").expect("the clip is in the list").samples_8k();
    // Through the telephone, like everything the caller hears.
    clip.iter()
        .cycle()
        .take((time.as_millis() * 8) as usize)
        .map(|&s| g711::decode(g711::encode(s)))
        .collect()
}
