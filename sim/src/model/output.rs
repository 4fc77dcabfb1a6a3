//! The server's output buffer: what has been generated and is played at the pace of speech.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::sound::Sound;

/// One spoken part of a response.
#[derive(Debug)]
pub(crate) struct Utterance {
    pub(crate) response_id: String,
    pub(crate) item_id: String,
    pub(crate) sound: Arc<Sound>,
    /// When generation began, and how long it takes.
    pub(crate) begun: Duration,
    pub(crate) generation: Duration,
    /// Frames already played.
    pub(crate) next: usize,
    /// No frame beyond this is ever generated: a cancelled response's speech ends here.
    pub(crate) limit: usize,
}

impl Utterance {
    fn generated(&self, now: Duration) -> usize {
        let spent = now.saturating_sub(self.begun);
        if self.generation.is_zero() || spent >= self.generation {
            return self.limit;
        }
        let share = spent.as_secs_f64() / self.generation.as_secs_f64();
        // One frame is there from the start: generation begins with sound.
        ((share * self.sound.frames.len() as f64) as usize + 1).min(self.limit)
    }

    pub(crate) fn played_ms(&self) -> u32 {
        self.next as u32 * self.sound.frame_ms
    }

    pub(crate) fn generated_ms(&self, now: Duration) -> u32 {
        self.generated(now) as u32 * self.sound.frame_ms
    }
}

/// What one beat of the pacer brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beat {
    /// A packet to send; `first` opens an utterance.
    Frame { payload: Arc<[u8]>, first: bool },
    /// Nothing to say.
    Nothing,
}

/// Utterances that wait at once; a response has few parts, and only one response speaks into the conversation.
const MAX_UTTERANCES: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct OutputBuffer {
    queue: VecDeque<Utterance>,
    /// The response whose sound is playing, from `started` to `stopped` or `cleared`.
    playing: Option<String>,
}

/// What happened at a beat, beside the frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Playout {
    Started {
        response_id: String,
    },
    Stopped {
        response_id: String,
    },
    /// An utterance has been played to its end.
    Said {
        item_id: String,
        played_ms: u32,
    },
}

impl OutputBuffer {
    pub(crate) fn push(&mut self, utterance: Utterance) {
        if self.queue.len() < MAX_UTTERANCES {
            self.queue.push_back(utterance);
        }
    }

    /// The next frame, one frame length after the last. `is_generating` tells whether more sound of a response may follow.
    pub(crate) fn beat(
        &mut self,
        now: Duration,
        is_generating: impl Fn(&str) -> bool,
    ) -> (Beat, Vec<Playout>) {
        let mut happened = Vec::new();
        while let Some(head) = self.queue.front() {
            if head.next < head.limit {
                break;
            }
            let head = self.queue.pop_front().expect("looked at just now");
            happened.push(Playout::Said { item_id: head.item_id.clone(), played_ms: head.played_ms() });
        }
        let head = self.queue.front().map(|u| u.response_id.clone());
        if let Some(playing) = &self.playing
            && head.as_ref() != Some(playing)
            && !is_generating(playing)
        {
            happened.push(Playout::Stopped { response_id: playing.clone() });
            self.playing = None;
        }
        let Some(head) = self.queue.front_mut() else { return (Beat::Nothing, happened) };
        if head.next >= head.generated(now) {
            return (Beat::Nothing, happened);
        }
        if self.playing.as_ref() != Some(&head.response_id) {
            if let Some(response_id) = self.playing.replace(head.response_id.clone()) {
                happened.push(Playout::Stopped { response_id });
            }
            happened.push(Playout::Started { response_id: head.response_id.clone() });
        }
        let first = head.next == 0;
        let payload = Arc::clone(&head.sound.frames[head.next]);
        head.next += 1;
        (Beat::Frame { payload, first }, happened)
    }

    /// Drops everything. Gives the utterances that were cut, and the response that was playing.
    pub(crate) fn clear(&mut self) -> (Vec<Utterance>, Option<String>) {
        (self.queue.drain(..).collect(), self.playing.take())
    }

    /// Ends the speech of a cancelled response where generation stands; what is generated is still played.
    pub(crate) fn stop_generating(&mut self, response_id: &str, now: Duration) {
        for utterance in self.queue.iter_mut().filter(|u| u.response_id == response_id) {
            utterance.limit = utterance.generated(now);
        }
    }

    pub(crate) fn utterances(&self) -> impl Iterator<Item = &Utterance> {
        self.queue.iter()
    }

    pub(crate) fn utterance(&self, item_id: &str) -> Option<&Utterance> {
        self.queue.iter().find(|u| u.item_id == item_id)
    }

    /// Whether the pacer has something to do: sound, or the end of it.
    pub(crate) fn is_active(&self) -> bool {
        self.playing.is_some() || !self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utterance(response: &str, frames: usize, generation_ms: u64) -> Utterance {
        let frames: Vec<Arc<[u8]>> = (0..frames).map(|i| vec![i as u8].into()).collect();
        Utterance {
            response_id: response.to_owned(),
            item_id: format!("item of {response}"),
            begun: Duration::ZERO,
            generation: Duration::from_millis(generation_ms),
            next: 0,
            limit: frames.len(),
            sound: Arc::new(Sound { frame_ms: 20, frames }),
        }
    }

    fn payload(beat: &Beat) -> Option<u8> {
        match beat {
            Beat::Frame { payload, .. } => Some(payload[0]),
            Beat::Nothing => None,
        }
    }

    #[test]
    fn started_before_the_first_frame_and_stopped_after_the_last_has_been_played() {
        let mut output = OutputBuffer::default();
        output.push(utterance("r", 2, 0));
        let (beat, happened) = output.beat(Duration::ZERO, |_| false);
        assert_eq!(happened, [Playout::Started { response_id: "r".to_owned() }]);
        assert!(matches!(beat, Beat::Frame { first: true, .. }));
        let (beat, happened) = output.beat(Duration::from_millis(20), |_| false);
        assert_eq!((payload(&beat), happened.len()), (Some(1), 0));
        let (beat, happened) = output.beat(Duration::from_millis(40), |_| false);
        assert_eq!(beat, Beat::Nothing);
        assert_eq!(happened.last(), Some(&Playout::Stopped { response_id: "r".to_owned() }));
        assert!(!output.is_active());
    }

    #[test]
    fn sound_is_played_no_sooner_than_it_is_generated() {
        let mut output = OutputBuffer::default();
        output.push(utterance("r", 10, 1_000));
        assert_eq!(payload(&output.beat(Duration::ZERO, |_| true).0), Some(0));
        assert_eq!(payload(&output.beat(Duration::from_millis(20), |_| true).0), None);
        assert_eq!(payload(&output.beat(Duration::from_millis(100), |_| true).0), Some(1));
        assert!(output.is_active());
    }

    #[test]
    fn two_parts_of_one_response_are_one_speech_while_it_is_generated() {
        let mut output = OutputBuffer::default();
        output.push(utterance("r", 1, 0));
        output.beat(Duration::ZERO, |_| true);
        let (_, happened) = output.beat(Duration::from_millis(20), |_| true);
        assert!(!happened.iter().any(|h| matches!(h, Playout::Stopped { .. })));
        output.push(utterance("r", 1, 0));
        let (beat, happened) = output.beat(Duration::from_millis(40), |_| false);
        assert_eq!((payload(&beat), happened.len()), (Some(0), 0));
    }

    #[test]
    fn clearing_tells_what_had_been_played() {
        let mut output = OutputBuffer::default();
        output.push(utterance("r", 10, 0));
        for i in 0..3 {
            output.beat(Duration::from_millis(20 * i), |_| false);
        }
        let (cut, playing) = output.clear();
        assert_eq!((cut[0].played_ms(), playing.as_deref()), (60, Some("r")));
        assert_eq!(output.beat(Duration::from_millis(60), |_| false), (Beat::Nothing, Vec::new()));
    }
}
